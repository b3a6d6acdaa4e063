import Redis

/// A sealed batch that is delivered in parts, because the whole exceeds the target's limits or to find out which command
/// ends the connections.
///
/// Each part is a transaction that includes the position it brings the flow to, so a crash between two parts applies
/// nothing twice.
struct BatchInParts {
    let batch: CommandBatch
    private let units: [CommandBatch.Unit]
    private let sizes: [CommandBatch.Size]
    private(set) var bisection: BatchBisection
    /// The commands that replace a command, by the number of the command.
    private var replacements: [Int: [[[UInt8]]]] = [:]
    /// The numbers in `batch` of the commands of the part on its way, by their index in the part.
    private var numbers: [Int: Int] = [:]
    /// Why nothing follows the last part; `nil` if all parts are delivered normally.
    private(set) var failure: ReplicationError?

    /// - Parameter limit: the maximum size of a part in bytes.
    init(_ batch: CommandBatch, limit: Int = .max) {
        let batch = batch.inSingleCommands()
        self.batch = batch
        sizes = batch.sizes()
        units = batch.units(sizes)
        bisection = BatchBisection(
            sizes: units.map(\.bytes), limit: limit == .max ? .max : limit - TargetLimits.frameBytes)
    }

    /// Every command that exceeds `limits` and has not been left out, with the excess.
    func excesses(_ limits: TargetLimits) -> [(command: Int, excess: TargetLimits.Excess)] {
        sizes.enumerated().compactMap { number, size in
            guard replacements[number] == nil else { return nil }
            return limits.excess(ofArgument: size.longestArgument, all: size.allArguments).map { (number, $0) }
        }
    }

    /// The largest command of a unit that has not been left out, with its size.
    func largestCommand(in unit: Int) -> (number: Int, size: CommandBatch.Size)? {
        units[unit].commands.filter { replacements[$0] == nil }
            .map { ($0, sizes[$0]) }.max { $0.1.bytes < $1.1.bytes }
    }

    mutating func leaveOut(_ command: Int, writing replacement: [[[UInt8]]] = []) {
        replacements[command] = replacement
        bisection.leftOut()
    }

    /// Leaves out commands of the part on its way, which the target has refused.
    mutating func leaveOutOfPart(_ indices: some Sequence<Int>) {
        for index in indices { if let number = numbers[index] { replacements[number] = [] } }
    }

    /// Ends the delivery at `command`, where the task stops. Units before the command's own are still sent.
    mutating func end(before command: Int, because error: ReplicationError) {
        guard failure == nil else { return }
        failure = error
        if let unit = units.firstIndex(where: { $0.commands.contains(command) }) { bisection.end(before: unit) }
    }

    mutating func lost(_ evidence: BatchBisection.Evidence) -> BatchBisection.Finding { bisection.lost(evidence) }

    mutating func delivered() { bisection.delivered() }

    /// The next part, not sealed; `nil` if all parts are delivered.
    mutating func nextPart() -> CommandBatch? {
        guard let range = bisection.pending.first else { return nil }
        let part = batch.part(units[range], isLast: range.upperBound == units.count, replacing: replacements)
        numbers = part.numbers
        return part.batch
    }
}
