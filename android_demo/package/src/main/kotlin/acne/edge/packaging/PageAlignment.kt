package acne.edge.packaging

import java.nio.ByteBuffer
import java.nio.ByteOrder

/**
 * Lays a 64-bit library with pages of 4 KB out for pages of 16 KB, as Google Play asks from target SDK 35 on: segments
 * move in the file and keep their addresses; the part that becomes read-only after loading is cut to whole pages.
 *
 * TensorFlow Lite 2.16.1 is the last version on Maven Central, and its libraries have 4 KB. A build with Google's
 * repository takes LiteRT instead, which has 16 KB.
 */
object PageAlignment {
    private const val PAGE = 0x4000L
    private const val PT_LOAD = 1
    private const val PT_GNU_RELRO = 0x6474e552
    private const val PT_NULL = 0

    private class Segment(val header: Int, val type: Int, val flags: Int, val offset: Long, val address: Long, val size: Long)

    /**
     * Returns the library with new offsets.
     *
     * @throws IllegalArgumentException Two segments of different rights share a page of 16 KB.
     */
    fun align(library: ByteArray): ByteArray {
        val elf = ByteBuffer.wrap(library).order(ByteOrder.LITTLE_ENDIAN)
        require(elf.getInt(0) == 0x464c457f && library[4].toInt() == 2) { "not a 64-bit ELF file" }
        val programHeaders = elf.getLong(32).toInt()
        val segments = List(elf.getShort(56).toInt()) { index ->
            val at = programHeaders + 56 * index
            Segment(at, elf.getInt(at), elf.getInt(at + 4), elf.getLong(at + 8), elf.getLong(at + 16), elf.getLong(at + 40))
        }
        val loads = segments.filter { it.type == PT_LOAD }
        loads.zipWithNext { first, second ->
            val shared = (first.address + first.size - 1) / PAGE == second.address / PAGE
            require(!shared || first.flags == second.flags) { "segments share a page of 16 KB" }
        }
        val moves = ArrayList<Pair<Long, Long>>()
        fun moved(offset: Long) = offset + moves.filter { it.first <= offset }.sumOf { it.second }
        for (segment in loads) {
            val padding = Math.floorMod(segment.address - moved(segment.offset), PAGE)
            if (padding > 0) moves.add(segment.offset to padding)
        }
        val laidOut = java.io.ByteArrayOutputStream()
        var last = 0
        for ((offset, padding) in moves) {
            laidOut.write(library, last, offset.toInt() - last)
            laidOut.write(ByteArray(padding.toInt()))
            last = offset.toInt()
        }
        laidOut.write(library, last, library.size - last)
        val result = laidOut.toByteArray()
        val out = ByteBuffer.wrap(result).order(ByteOrder.LITTLE_ENDIAN)
        for (segment in segments) {
            out.putLong(segment.header + 8, moved(segment.offset))
            if (segment.type == PT_LOAD) out.putLong(segment.header + 48, PAGE)
            if (segment.type == PT_GNU_RELRO) {
                val size = maxOf(0L, (segment.address + segment.size) / PAGE * PAGE - segment.address)
                out.putLong(segment.header + 32, size)
                out.putLong(segment.header + 40, size)
                if (size == 0L) out.putInt(segment.header, PT_NULL)
            }
        }
        val sections = moved(elf.getLong(40))
        out.putLong(40, sections)
        for (index in 0 until elf.getShort(60)) {
            val at = sections.toInt() + elf.getShort(58) * index + 24
            val offset = out.getLong(at)
            if (offset > 0) out.putLong(at, moved(offset))
        }
        return result
    }
}
