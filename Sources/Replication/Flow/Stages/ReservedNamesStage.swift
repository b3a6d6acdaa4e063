import Redis
import Wire

/// Leaves out and reports what a command does to df2redis' own names. The rest of the command is written.
final class ReservedNamesStage: RecordStage {
    let names: ReservedKeys
    private let builder: BatchBuilder
    private let reports: EncoderReports

    init(_ names: ReservedKeys, _ builder: BatchBuilder, _ reports: EncoderReports) {
        self.names = names
        self.builder = builder
        self.reports = reports
    }

    func admit(_ command: borrowing JournalCommand, at place: RecordPlace) -> Admission {
        guard names.appear(in: command) else { return .pass }
        var isConcerned = false
        command.forEachWrittenKey(in: place.database) { key, _ in
            if names.contains(key) { isConcerned = true }
        }
        guard isConcerned else { return .pass }
        let step =
            switch command.name {
            case "DEL", "UNLINK": 1
            case "MSET": 2
            default: 0
            }
        let isMovedAway = command.name.hasPrefix("RENAME") && !names.contains(command.argument(at: 1))
        command.forEachWrittenKey(in: place.database) { key, database in
            // A key that would get its value from a reserved key is missing as well.
            guard names.contains(key) || (step == 0 && !isMovedAway) else { return }
            reports.report(.reservedKey, subject: command.nameText, key: key, database: database)
        }
        if step == 0, !isMovedAway {
            command.forEachValueTransfer(in: place.database) { _, key, database in
                if !names.contains(key) { reports.refresh(key, database: database) }
            }
        }
        if step > 0 { writeRest(of: command, step: step) }
        if isMovedAway { builder.batch.append("UNLINK", command.argument(at: 1)) }
        return .drop
    }

    /// Writes a command that has `step` arguments per key, without reserved keys.
    private func writeRest(of command: borrowing JournalCommand, step: Int) {
        var arguments = command.arguments
        _ = arguments.next()
        var hasRest = false
        while let key = arguments.next() {
            for _ in 1..<step { _ = arguments.next() }
            if !names.contains(key) { hasRest = true }
        }
        guard hasRest else { return }
        builder.batch.append(named: command.nameBytes) {
            var arguments = command.arguments
            _ = arguments.next()
            while let key = arguments.next() {
                let isLeftOut = names.contains(key)
                if !isLeftOut { $0.append(key) }
                for _ in 1..<step {
                    guard let value = arguments.next() else { return }
                    if !isLeftOut { $0.append(value) }
                }
            }
        }
    }
}
