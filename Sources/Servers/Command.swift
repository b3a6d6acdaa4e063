/// A command and its arguments.
package typealias Command = [[UInt8]]

/// A value that can be a word of a command: text, an integer or raw bytes.
package protocol CommandWord {
    var commandBytes: [UInt8] { get }
}

extension String: CommandWord {
    package var commandBytes: [UInt8] { Array(utf8) }
}

extension [UInt8]: CommandWord {
    package var commandBytes: [UInt8] { self }
}

extension CommandWord where Self: FixedWidthInteger {
    package var commandBytes: [UInt8] { Array("\(self)".utf8) }
}

extension Int: CommandWord {}
extension Int64: CommandWord {}
extension UInt32: CommandWord {}

package func command(_ words: any CommandWord...) -> Command { words.map(\.commandBytes) }
