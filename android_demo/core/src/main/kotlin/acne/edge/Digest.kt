package acne.edge

import java.security.MessageDigest

/** Detects corrupt model files by a SHA-256 stored in the manifest; mirrors `acne_runtime.digest`. */
object Digest {
    /** Returns the SHA-256 of a model file, in hexadecimal, with the [stated] digest in it replaced by zeros. */
    fun compute(content: ByteArray, stated: String): String {
        val digits = stated.toByteArray(Charsets.US_ASCII)
        val copy = content.copyOf()
        var at = 0
        while (at <= copy.size - digits.size) {
            if (startsWith(copy, at, digits)) {
                copy.fill('0'.code.toByte(), at, at + digits.size)
                at += digits.size
            } else {
                at++
            }
        }
        return sha256(copy)
    }

    /** Returns the SHA-256 of bytes, in hexadecimal. */
    fun sha256(content: ByteArray): String =
        MessageDigest.getInstance("SHA-256").digest(content).joinToString("") { "%02x".format(it) }

    private fun startsWith(content: ByteArray, at: Int, digits: ByteArray): Boolean {
        for (index in digits.indices) if (content[at + index] != digits[index]) return false
        return true
    }
}
