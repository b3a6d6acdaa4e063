import Base
import Testing
import Wire

/// The result of decoding a flow's bytes.
struct FlowOutcome {
    var items: [FlowRecorder.Item]
    var wholeValues: Int
    var partedValues: Int
    var openValues: Int
    var phase: FlowDecoder.Phase
    /// The bytes that were not consumed at the end, and the greatest number that ever waited in the window.
    var unconsumed: Int
    var greatestRemainder: Int
    var error: FlowDecodingError?
    var misuse: String?
}

/// How a flow's bytes arrive.
enum Feeding: CustomStringConvertible {
    case whole
    case pieces(of: Int)
    case random(seed: UInt64, upTo: Int)

    var description: String {
        switch self {
        case .whole: "whole"
        case .pieces(let count): "in pieces of \(count)"
        case .random(let seed, let most): "in pieces of up to \(most), seed \(seed)"
        }
    }
}

/// The token of the flows that the tests make.
let sampleToken = Array("0123456789abcdef0123456789abcdef01234567".utf8)

/// Feeds `bytes` to a decoder as `FlowFeed` does: bytes that it does not consume precede the next piece.
///
/// - Parameter events: the number of events after which the sink pauses, each time.
func feedFlow(
    _ bytes: [UInt8], _ feeding: Feeding = .whole, token: [UInt8]? = sampleToken, pausingAfter events: Int = .max
) -> FlowOutcome {
    var decoder =
        token.map { FlowDecoder(snapshotToken: $0) } ?? FlowDecoder(journalWithMaxRecordBytes: 1 << 30)
    var recorder = FlowRecorder()
    recorder.eventsLeft = events
    var random = SplitMix64(seed: 0)
    if case .random(let seed, _) = feeding { random = SplitMix64(seed: seed) }
    var window = ByteBuffer()
    var (fed, greatest) = (0, 0)
    var failure: FlowDecodingError?
    feeding: while fed < bytes.count {
        let count =
            switch feeding {
            case .whole: bytes.count
            case .pieces(let count): count
            case .random(_, let most): Int.random(in: 1...most, using: &random)
            }
        let piece = min(count, bytes.count - fed)
        window.append(bytes.span.bytes.extracting(fed..<(fed + piece)))
        fed += piece
        while true {
            do throws(FlowDecodingError) {
                window.removeFirst(try decoder.decode(window.bytes, into: &recorder))
            } catch {
                failure = error
                break feeding
            }
            guard recorder.isPaused else { break }
            recorder.eventsLeft = events
        }
        greatest = max(greatest, window.count)
    }
    return FlowOutcome(
        items: recorder.items, wholeValues: recorder.wholeValues, partedValues: recorder.partedValues,
        openValues: recorder.openValues, phase: decoder.phase, unconsumed: window.count, greatestRemainder: greatest,
        error: failure, misuse: recorder.misuse)
}

/// Checks that every way of feeding `bytes` gives the same items, error, phase and remainder as feeding them whole.
@discardableResult
func expectSameHoweverFed(
    _ bytes: [UInt8], token: [UInt8]? = sampleToken, _ feedings: [Feeding], label: String = "",
    sourceLocation: SourceLocation = #_sourceLocation
) -> FlowOutcome {
    let whole = feedFlow(bytes, .whole, token: token)
    #expect(whole.misuse == nil, "\(label) whole", sourceLocation: sourceLocation)
    func compare(_ other: FlowOutcome, _ how: String) {
        #expect(other.misuse == nil, "\(label) \(how)", sourceLocation: sourceLocation)
        #expect(other.error == whole.error, "\(label) \(how)", sourceLocation: sourceLocation)
        #expect(other.phase == whole.phase, "\(label) \(how)", sourceLocation: sourceLocation)
        #expect(other.wholeValues == whole.wholeValues, "\(label) \(how)", sourceLocation: sourceLocation)
        if whole.error == nil {
            #expect(other.unconsumed == whole.unconsumed, "\(label) \(how)", sourceLocation: sourceLocation)
        }
        guard other.items != whole.items else { return }
        let place = zip(other.items, whole.items).enumerated().first { $1.0 != $1.1 }
        Issue.record(
            """
            \(label) \(how): \(other.items.count) items, whole \(whole.items.count); \
            \(place.map { "item \($0.offset) is \($0.element.0), whole \($0.element.1)" } ?? "one begins the other")
            """, sourceLocation: sourceLocation)
    }
    for feeding in feedings { compare(feedFlow(bytes, feeding, token: token), "\(feeding)") }
    compare(feedFlow(bytes, .whole, token: token, pausingAfter: 1), "pausing after each event")
    compare(feedFlow(bytes, .pieces(of: 1000), token: token, pausingAfter: 3), "pausing after 3 events")
    return whole
}
