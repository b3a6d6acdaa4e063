/// A number and what it counts: `1 key`, `2 keys`.
package func counted(_ count: Int, _ noun: String) -> String { "\(count) \(noun)\(count == 1 ? "" : "s")" }

/// A number, the noun it counts, and a verb: `1 key differs`, `2 keys differ`.
package func counted(_ count: Int, _ noun: String, _ one: String, _ many: String) -> String {
    "\(counted(count, noun)) \(count == 1 ? one : many)"
}
