/// The path and the query of a request.
struct RequestTarget: Sendable {
    let path: String
    private let query: Substring

    init(_ target: String) {
        path = String(target.prefix { $0 != "?" && $0 != "#" })
        query = target.drop { $0 != "?" }.dropFirst().prefix { $0 != "#" }
    }

    subscript(_ name: String) -> String? {
        query.split(separator: "&").first { $0.hasPrefix("\(name)=") }.map { String($0.dropFirst(name.count + 1)) }
    }

    func number(_ name: String) -> Int? { self[name].flatMap { Int($0) }.flatMap { $0 >= 0 ? $0 : nil } }
}
