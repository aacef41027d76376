package acne.edge

import java.nio.ByteBuffer
import java.nio.ByteOrder

/**
 * Reads metadata of a TFLite file; mirrors `acne_runtime.backends.tflite_metadata`.
 *
 * The field numbers are those of TensorFlow's `schema.fbs`: a `Model` holds `buffers` (4) and `metadata` (6), a
 * `Metadata` holds `name` (0) and the index `buffer` (1), a `Buffer` holds `data` (0).
 */
object TfliteMetadata {
    /**
     * Returns the bytes of the entry [name] of a TFLite [file], or null if there is no such entry.
     *
     * @throws ModelException The file is not a TFLite model, or is truncated.
     */
    fun read(file: ByteArray, name: String): ByteArray? {
        if (file.size < 8 || String(file, 4, 4, Charsets.ISO_8859_1) != "TFL3") throw ModelException("not a TFLite file")
        val bytes = ByteBuffer.wrap(file).order(ByteOrder.LITTLE_ENDIAN)
        try {
            val model = Table(bytes, bytes.getInt(0))
            for (entry in model.tables(6)) {
                if (String(entry.bytes(0), Charsets.UTF_8) == name) return model.tables(4)[entry.int(1)].bytes(0)
            }
            return null
        } catch (error: IndexOutOfBoundsException) {
            throw ModelException("corrupt TFLite file", error)
        } catch (error: IllegalArgumentException) { // a negative length
            throw ModelException("corrupt TFLite file", error)
        }
    }

    /** A table of a flatbuffer. */
    private class Table(private val file: ByteBuffer, private val position: Int) {
        private fun field(number: Int): Int {
            val vtable = position - file.getInt(position)
            val slot = 4 + 2 * number
            if (slot >= file.getShort(vtable).toInt()) return 0
            val offset = file.getShort(vtable + slot).toInt() and 0xffff
            return if (offset == 0) 0 else position + offset
        }

        fun int(number: Int): Int = field(number).let { if (it == 0) 0 else file.getInt(it) }

        fun bytes(number: Int): ByteArray {
            val field = field(number)
            if (field == 0) return ByteArray(0)
            val vector = field + file.getInt(field)
            val length = file.getInt(vector)
            require(length in 0..file.capacity()) { "length $length" }
            return ByteArray(length) { file.get(vector + 4 + it) }
        }

        fun tables(number: Int): List<Table> {
            val field = field(number)
            if (field == 0) return emptyList()
            val vector = field + file.getInt(field)
            val length = file.getInt(vector)
            require(length in 0..file.capacity()) { "length $length" }
            return List(length) { index ->
                val at = vector + 4 + 4 * index
                Table(file, at + file.getInt(at))
            }
        }
    }
}
