/// The fields that a batch writes to the checkpoint's hash: the field of the flow's position and its new value.
package struct PositionFields: Equatable, Sendable {
    package var key: [UInt8]
    package var field: [UInt8]
    package var value: [UInt8]
    /// Further fields, each with its value.
    package var furtherFields: [[UInt8]]

    package init(key: [UInt8], field: [UInt8], value: [UInt8], furtherFields: [[UInt8]] = []) {
        (self.key, self.field, self.value, self.furtherFields) = (key, field, value, furtherFields)
    }
}
