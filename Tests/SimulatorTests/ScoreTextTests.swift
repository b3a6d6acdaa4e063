import Testing

@testable import DragonflySimulator

@Suite("Numbers as the master writes them")
struct ScoreTextTests {
    @Test(
        "are those that a v1.36.0 master was seen to write",
        arguments: [
            ("9e19", "90000000000000000000"), ("1.090001e21", "1.090001e+21"), ("1e-7", "1e-7"), ("1e-6", "0.000001"),
            ("123456789012345678", "123456789012345680"), ("0.30000000000000004", "0.30000000000000004"),
            ("-2.5", "-2.5"),
            ("1e16", "10000000000000000"), ("-12345678901234567890", "-12345678901234567000"), ("0", "0"),
            ("5e-324", "5e-324"),
        ])
    func texts(_ number: String, _ text: String) throws {
        #expect(ScoreText.text(try #require(Double(number))) == text)
    }
}
