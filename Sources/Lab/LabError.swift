import Glibc

/// An error of the laboratory, as a sentence for the reader of the test's output.
package struct LabError: Error, CustomStringConvertible {
    package let description: String

    package init(_ description: String) { self.description = description }

    /// A system call's failure: its name, the text of `errno`, and what it was about.
    static func system(_ call: String, _ about: String = "", errno code: Int32 = errno) -> LabError {
        LabError("\(call)\(about.isEmpty ? "" : " \(about)"): \(String(cString: strerror(code))) (errno \(code))")
    }
}
