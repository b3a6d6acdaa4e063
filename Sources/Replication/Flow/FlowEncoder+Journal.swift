import Dragonfly
import Redis
import Wire

/// The journal, within the snapshot and behind it.
extension FlowEncoder {
    func command(_ command: borrowing JournalCommand, database: UInt32, inSnapshot: Bool) {
        if !inSnapshot { context.progress(flow).decoded(keyChanges: command.keyChangeLimit) }
        guard context.keeps(database) else {
            reportLeftOut(database, subject: text(command.name), key: command.keyOrEmpty, database: database)
            if !inSnapshot { countRecord() }
            return
        }
        if isCopy(command, database: database) {
            if !inSnapshot { countRecord() }
            return
        }
        if waitsOrIsDropped(command, database: database) { return }
        select(database)
        prepare(command, database: database)
        if leavesOutReserved(command, database: database) {
            if !inSnapshot { countRecord() }
            return
        }
        if let other = command.otherDatabase, !context.keeps(other) {
            leaveDatabase(command, database: database, for: other)
            if !inSnapshot { countRecord() }
            return
        }
        rewriter.isInSnapshot = !hasCompletedSnapshot
        let outcome =
            book?.write(command, database: database, at: moment, with: &rewriter, into: batch)
            ?? rewriter.rewrite(command, database: database, now: arrivedAt, into: batch)
        switch outcome {
        case .written, .nothing: break
        case .global(let global):
            halt = inSnapshot ? .restart(global) : .global(global, transactionID: command.transactionID)
            return
        case .writtenDiverging(.storeInSnapshot):
            report(.storeInSnapshot, subject: text(command.name), key: command.storedKey, database: database)
        case .writtenDiverging(let divergence):
            report(divergence, subject: text(command.name), key: command.keyOrEmpty, database: database)
        case .skippedDiverging(.expiryInThePast):
            report(.expiryInThePast, subject: text(command.name), key: command.keyOrEmpty, database: database)
        case .skippedDiverging(let divergence):
            // In a fragment everything that is no option may be a key that the command has written.
            var arguments = command.arguments
            _ = arguments.next()
            while let argument = arguments.next() {
                if argument.isSortWord { continue }
                report(divergence, subject: text(command.name), key: argument, database: database)
            }
        case .writtenWithout(let unsupported):
            report(unsupported, subject: text(command.name), key: command.keyOrEmpty, database: database)
        case .unsupported(let unsupported):
            report(unsupported, subject: text(command.name), key: command.keyOrEmpty, database: database)
            if unsupported.takesTheKey, command.argumentCount > 1 { removeReplaced(command.argument(at: 1)) }
        }
        guard inSnapshot else { return countRecord() }
        if !hasCompletedSnapshot { noteMove(command, from: database) }
    }

    /// A MOVE or COPY to a database that the target lacks. A key that is moved leaves the one it was in; a copy's source
    /// stays.
    private func leaveDatabase(_ command: borrowing JournalCommand, database: UInt32, for other: UInt32) {
        let key = command.keyOrEmpty
        reportLeftOut(other, subject: text(command.name), key: key, database: database)
        guard halt == nil, command.moveDestination != nil else { return }
        book?.replace(key, database: database, into: batch)
        expiry?.removed(key, database: database)
        batch.command(2)
        batch.bytes.appendBulk("UNLINK")
        batch.bytes.appendBulk(key)
    }

    private func noteMove(_ command: borrowing JournalCommand, from database: UInt32) {
        guard let destination = command.moveDestination else { return }
        let key = command.argument(at: 1)
        report(.moveInSnapshot, subject: "MOVE", key: key, database: database)
        uncertainMoves.note(key, from: database, to: destination)
    }

    /// A conflict policy keeps the command from being applied, now or at all.
    private func waitsOrIsDropped(_ command: borrowing JournalCommand, database: UInt32) -> Bool {
        guard let conflicts else { return false }
        let admission = conflicts.admit(command, database: database) { key, place in
            // What stands in a database is asked for once it has been prepared.
            touch(place) && !reserved.contains(key)
        }
        if let failure = conflicts.failure { fail(.file, "\(failure)") }
        if admission == .wait, halt == nil { halt = .questions }
        return admission != .pass
    }

    /// The target has told which of the keys in question it has.
    func resumeAfterQuestions(existing: [ConflictGuard.Place]) {
        guard case .questions = halt else { return }
        halt = nil
        conflicts?.answered(existing: existing) { command($0, database: $1, inSnapshot: true) }
    }

    /// What `command` writes to is noted, and what it would wrongly build on is removed ahead of it.
    private func prepare(_ command: borrowing JournalCommand, database: UInt32) {
        if let destination = command.otherDatabase { _ = touch(destination) }
        guard let synced else { return }
        command.forEachWrittenKey(in: database) { key, place in
            guard !reserved.contains(key), synced.brought(key, database: place), select(place) else { return }
            batch.command(2)
            batch.bytes.appendBulk("UNLINK")
            batch.bytes.appendBulk(key)
        }
        select(database)
        checkRemembering()
    }

    /// Without knowing all keys that the sync has brought, an old value can no longer be told from a new one.
    func checkRemembering() {
        guard let synced, synced.isEssential, let failure = synced.failure else { return }
        fail(
            .file,
            "the keys that this full sync brings cannot be remembered, so what the source no longer has cannot be removed: "
                + "\(failure) (make room in spool.dir, or set fullSync.existing to replace)")
    }

    func journalPing(inSnapshot: Bool) {
        if !inSnapshot { countRecord() }
    }

    func journalLSN(_ lsn: UInt64) {
        guard lsn &+ 1 == nextLSN else {
            return fail(
                .recordsLost,
                "the source says that LSN \(lsn) was the last one, we counted to \(nextLSN &- 1): records of its journal "
                    + "have not come, as when a DEBUG POPULATE runs while a full sync ends")
        }
    }

    func countRecord() {
        // The position stays before a record that the task stops at, even if the stop itself cannot be noted.
        if case .failure = halt { return }
        nextLSN += 1
        batch.endRecord()
        context.progress(flow).decoded(next: nextLSN)
    }

    func text(_ name: RawSpan) -> String {
        name.withUnsafeBytes { String(decoding: $0.prefix(64), as: UTF8.self) }
    }
}

extension JournalCommand {
    /// How many keys, of all databases together, the command can add or remove at most. Whole databases apart.
    fileprivate var keyChangeLimit: Int {
        let name = name
        let isOfMany =
            name.isText("DEL") || name.isText("UNLINK") || name.startsWith("MSET") || name.startsWith("JSON.MSET")
        return isOfMany ? argumentCount : 2
    }

    /// What follows the last STORE or STOREDIST; the first key where there is none.
    fileprivate var storedKey: RawSpan {
        @_lifetime(copy self)
        get {
            for place in stride(from: argumentCount - 2, to: 1, by: -1) {
                let word = argument(at: place)
                if word.isWord("STORE") || word.isWord("STOREDIST") { return argument(at: place + 1) }
            }
            return keyOrEmpty
        }
    }

    /// The first key; empty when there is none.
    fileprivate var keyOrEmpty: RawSpan {
        @_lifetime(copy self)
        get {
            let place = name.isText("XGROUP") ? 2 : 1
            return argumentCount > place ? argument(at: place) : payload.extracting(first: 0)
        }
    }
}
