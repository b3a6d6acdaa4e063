// Code that uses a connection needs `SystemError`, `Lock` and the units of `Duration` everywhere.
@_exported public import Base
