/// The version of df2redis: the one place that names it.
package enum Version {
    package static let current = "0.1.0"
}
