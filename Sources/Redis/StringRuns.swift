import Wire

/// Runs of plain strings in a batch: consecutive `SET key value`, which the target gets as one `MSET`.
///
/// One command of many pairs costs the target about half of what as many commands do. For everything else a pair is still
/// a command: it is counted as one, and a run that the target refuses is taken apart
/// (`CommandBatch.inSingleCommands`).
struct StringRuns {
    /// A command holds the target up for no longer than these allow.
    static let maximumPairs = 128
    static let maximumBytes = 64 << 10
    /// Above it copying the value is the work, not the command.
    static let maximumPairBytes = 4 << 10

    struct Run: Equatable {
        /// The command's number in the batch.
        var command: Int
        var pairs: Int
    }

    /// The last command of the batch, if it is a SET that may become a run, or a run that may grow.
    private struct Open {
        /// Of the command's head, in the bytes of the batch.
        var place: Int
        var command: Int
        var pairs = 1
        /// Of keys and values.
        var bytes: Int
    }

    /// Those of more than one pair, in the order of their commands.
    private(set) var all: [Run] = []
    /// By how much there are more pairs than commands.
    private(set) var extraPairs = 0
    private var open: Open?

    var isEmpty: Bool { all.isEmpty }

    /// How many pairs the command number `command` has; 1 for one that is no run.
    func pairs(ofCommand command: Int) -> Int { all.first { $0.command == command }?.pairs ?? 1 }

    /// The number that the command number `command` has where each pair is a command.
    func operation(ofCommand command: Int) -> Int {
        var operation = command
        for run in all {
            guard run.command < command else { break }
            operation += run.pairs - 1
        }
        return operation
    }

    /// The numbers that these commands have where each pair is a command.
    func operations(ofCommands commands: Set<Int>) -> Set<Int> {
        Set(commands.flatMap { operation(ofCommand: $0)..<operation(ofCommand: $0 + 1) })
    }

    /// The command that begins at `place` is a SET of `bytes` bytes of key and value.
    mutating func begin(at place: Int, command: Int, bytes: Int) {
        guard bytes <= Self.maximumPairBytes else { return }
        open = Open(place: place, command: command, bytes: bytes)
    }

    /// Another command follows the last one.
    mutating func close() { open = nil }

    /// A run of another batch is copied as the command number `command`.
    mutating func add(command: Int, pairs: Int) {
        all.append(Run(command: command, pairs: pairs))
        extraPairs += pairs - 1
    }

    /// A pair of `bytes` bytes of key and value is going to be appended.
    ///
    /// - Returns: the place of the command that it becomes part of, and the pairs of that; `nil`: it begins a command.
    mutating func extend(by bytes: Int) -> (place: Int, pairs: Int)? {
        guard var run = open, bytes <= Self.maximumPairBytes, run.pairs < Self.maximumPairs,
            run.bytes + bytes <= Self.maximumBytes
        else { return nil }
        run.pairs += 1
        run.bytes += bytes
        open = run
        extraPairs += 1
        if run.pairs == 2 {
            all.append(Run(command: run.command, pairs: 2))
        } else {
            all[all.count - 1].pairs = run.pairs
        }
        return (run.place, run.pairs)
    }
}

extension CommandBatch {
    /// The command number `index` is a run of commands that may be sent by themselves.
    package func isRun(_ index: Int) -> Bool { runs.pairs(ofCommand: index) > 1 }
}
