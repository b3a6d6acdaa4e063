/// A YAML text in which keys that occur twice are renamed one by one, so that the rest of the document can be read too.
///
/// Yams names only the first of equal keys and composes nothing. The next of them is looked for in the text: in block style it starts
/// at the same column of a later line, in flow style after a comma of the same braces. Its first letter is replaced by a
/// private-use character, which makes it unique and leaves everything in its place.
struct DuplicateKeys {
    typealias Position = ConfigurationProblem.Position

    /// A place in the text, from 0.
    private struct Place {
        var line: Int
        var column: Int
    }

    private static let firstMark: UInt32 = 0xE000
    /// Each renamed key costs a reading of the whole text.
    private static let maximumMarked = 100

    private var lines: [[Unicode.Scalar]]
    /// The names that renamed keys had.
    private(set) var originals: [String: String] = [:]

    init(_ yaml: String) {
        lines = yaml.unicodeScalars.split(separator: "\n", omittingEmptySubsequences: false).map { Array($0) }
    }

    var text: String {
        var text = String.UnicodeScalarView()
        for (index, line) in lines.enumerated() {
            if index > 0 { text.append("\n") }
            text.append(contentsOf: line)
        }
        return String(text)
    }

    /// Renames the next key equal to the one at `first`; returns false if none is to be found.
    mutating func markNext(_ key: String, after first: Position) -> Bool {
        let name = Array(key.unicodeScalars)
        let start = Place(line: first.line - 1, column: first.column - 1)
        guard originals.count < Self.maximumMarked, !name.isEmpty, lines.indices.contains(start.line),
            lines[start.line].indices.contains(start.column),
            let mark = Unicode.Scalar(Self.firstMark + UInt32(originals.count)),
            let place = isInFlow(start)
                ? nextInFlow(name, after: start) : nextInBlock(name, after: start) ?? nextInFlow(name, after: start)
        else { return false }
        lines[place.line][place.column] = mark
        var renamed = String.UnicodeScalarView([mark])
        renamed.append(contentsOf: name.dropFirst())
        originals[String(renamed)] = key
        return true
    }

    private func isInFlow(_ place: Place) -> Bool {
        let before = lines[place.line][..<place.column].last { $0 != " " }
        return before == "{" || before == ","
    }

    private func nextInBlock(_ name: [Unicode.Scalar], after first: Place) -> Place? {
        for index in lines.indices.dropFirst(first.line + 1) {
            let line = lines[index]
            let depth = line.prefix { $0 == " " }.count
            guard depth < line.count, line[depth] != "#", line[depth] != "\r" else { continue }
            if depth < first.column { return nil }
            if depth == first.column, let column = key(name, at: Place(line: index, column: depth)) {
                return Place(line: index, column: column)
            }
        }
        return nil
    }

    private func nextInFlow(_ name: [Unicode.Scalar], after first: Place) -> Place? {
        var depth = 0
        var quote: Unicode.Scalar?
        var (isTokenStart, isKeyStart) = (true, false)
        for index in lines.indices.dropFirst(first.line) {
            let line = lines[index]
            var column = index == first.line ? first.column : 0
            while column < line.count {
                let scalar = line[column]
                if let open = quote {
                    let isEscape = scalar == "\\" && open == "\""
                    let isDoubled = scalar == "'" && open == "'" && line.dropFirst(column + 1).first == "'"
                    if scalar == open, !isDoubled { quote = nil }
                    column += isEscape || isDoubled ? 2 : 1
                    continue
                }
                switch scalar {
                case " ", "\t", "\r": break
                case "#" where column == 0 || line[column - 1] == " " || line[column - 1] == "\t": column = line.count
                case "{", "[": (depth, isTokenStart, isKeyStart) = (depth + 1, true, false)
                case "}", "]":
                    (depth, isTokenStart, isKeyStart) = (depth - 1, false, false)
                    if depth < 0 { return nil }
                case ",": (isTokenStart, isKeyStart) = (true, depth == 0)
                case ":": (isTokenStart, isKeyStart) = (true, false)
                default:
                    if isKeyStart, let letter = key(name, at: Place(line: index, column: column)) {
                        return Place(line: index, column: letter)
                    }
                    // Within a word a quote is a letter.
                    if isTokenStart, scalar == "\"" || scalar == "'" { quote = scalar }
                    (isTokenStart, isKeyStart) = (false, false)
                }
                column += 1
            }
        }
        return nil
    }

    /// - Returns: the column of the first letter of the key `name` at `place`, which may be in quotes; `nil`: something else is there.
    private func key(_ name: [Unicode.Scalar], at place: Place) -> Int? {
        let line = lines[place.line]
        let quote = line[place.column] == "\"" || line[place.column] == "'" ? line[place.column] : nil
        let start = place.column + (quote == nil ? 0 : 1)
        guard line.dropFirst(start).starts(with: name) else { return nil }
        var rest = line.dropFirst(start + name.count)
        if let quote {
            guard rest.popFirst() == quote else { return nil }
        }
        rest = rest.drop { $0 == " " }
        guard rest.popFirst() == ":" else { return nil }
        let ends: [Unicode.Scalar] = [" ", "\t", "\r", ",", "}", "]"]
        return quote != nil || rest.first.map(ends.contains) ?? true ? start : nil
    }
}
