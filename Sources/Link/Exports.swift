// Who uses a connection meets `SystemError`, `Lock` and the units of `Duration` everywhere.
@_exported public import Base
