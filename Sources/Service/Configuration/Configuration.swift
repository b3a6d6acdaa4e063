/// The configuration of a task, complete and checked: every value is in its range and every path is absolute.
///
/// Made by `ConfigurationLoader` from a YAML file. A value made with `init()` holds the defaults. The values that depend on
/// the file's place or the task's name (`taskName`, `stateDirectory`, `statusFile`, `spool.directory`, `checkpoint.path`)
/// are still empty then. `Setting.all` maps every key of the file to its place here.
package struct Configuration: Sendable, Equatable {
    /// The task's name, of `[A-Za-z0-9._@-]`: part of file names, of the checkpoint's key and of every log record.
    package var taskName = ""
    /// The folder of the task's files.
    package var stateDirectory = ""
    /// The file to which the task writes its state for other programs.
    package var statusFile = ""

    package var source = Source()
    package var target = Target()
    package var fullSync = FullSync()
    package var conflict = Conflict()
    package var policy = Policy()
    package var expiry = Expiry()
    package var checkpoint = Checkpoint()
    package var spool = Spool()
    package var reconnect = Reconnect()
    package var shutdown = Shutdown()
    package var refresh = Refresh()
    package var verify = Verify()
    package var advanced = Advanced()
    package var dashboard = Dashboard()
    package var log = Log()
    package var monitor = Monitor()

    package init() {}
}
