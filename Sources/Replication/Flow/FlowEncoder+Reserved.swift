import Redis
import Wire

extension FlowEncoder {
    /// What a command does to reserved keys is left out and told; the rest of it is written.
    ///
    /// - Returns: `false` when it has nothing to do with them.
    func leavesOutReserved(_ command: borrowing JournalCommand, database: UInt32) -> Bool {
        guard reserved.appear(in: command) else { return false }
        var isConcerned = false
        command.forEachWrittenKey(in: database) { key, _ in
            if reserved.contains(key) { isConcerned = true }
        }
        guard isConcerned else { return false }
        let step = command.name.isWord("DEL") || command.name.isWord("UNLINK") ? 1 : command.name.isWord("MSET") ? 2 : 0
        let isMovedAway = command.name.startsWith("RENAME") && !reserved.contains(command.argument(at: 1))
        command.forEachWrittenKey(in: database) { key, place in
            // A key that only a reserved one could give its value is missing as well.
            guard reserved.contains(key) || (step == 0 && !isMovedAway) else { return }
            report(.reservedKey, subject: text(command.name), key: key, database: place)
        }
        if step > 0 { writeRest(of: command, step: step) }
        if isMovedAway {
            batch.command(2)
            batch.bytes.appendBulk("UNLINK")
            batch.bytes.appendBulk(command.argument(at: 1))
        }
        return true
    }

    /// A command of `step` arguments a key, without those of reserved keys.
    private func writeRest(of command: borrowing JournalCommand, step: Int) {
        var count = 0
        var arguments = command.arguments
        _ = arguments.next()
        while let key = arguments.next() {
            for _ in 1..<step { _ = arguments.next() }
            if !reserved.contains(key) { count += step }
        }
        guard count > 0 else { return }
        batch.command(1 + count)
        batch.bytes.appendBulk(command.name)
        arguments = command.arguments
        _ = arguments.next()
        while let key = arguments.next() {
            let isLeftOut = reserved.contains(key)
            if !isLeftOut { batch.bytes.appendBulk(key) }
            for _ in 1..<step {
                guard let value = arguments.next() else { return }
                if !isLeftOut { batch.bytes.appendBulk(value) }
            }
        }
    }
}
