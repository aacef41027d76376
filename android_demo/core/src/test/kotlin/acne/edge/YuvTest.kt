package acne.edge

import java.nio.ByteBuffer
import kotlin.math.abs
import kotlin.math.roundToInt
import kotlin.random.Random
import org.junit.jupiter.api.Assertions.assertArrayEquals
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.assertThrows
import org.junit.jupiter.params.ParameterizedTest
import org.junit.jupiter.params.provider.CsvSource

class YuvTest {
    private val random = Random(5)

    /** A plane of random bytes whose rows are padded. */
    private fun plane(width: Int, height: Int, padding: Int, pixelStride: Int): Plane {
        val rowStride = width * pixelStride + padding
        return Plane(ByteBuffer.wrap(random.nextBytes(rowStride * height)), rowStride, pixelStride)
    }

    private fun Plane.at(x: Int, y: Int): Double = (bytes.get(y * rowStride + x * pixelStride).toInt() and 255).toDouble()

    @ParameterizedTest
    @CsvSource("64,48,0,1", "64,48,16,2", "63,47,5,2", "2,2,0,1", "1,1,3,1", "640,480,64,2")
    fun `colours are within 1 of the formula in floating point`(width: Int, height: Int, padding: Int, pixelStride: Int) {
        val y = plane(width, height, padding, 1)
        val u = plane((width + 1) / 2, (height + 1) / 2, padding, pixelStride)
        val v = plane((width + 1) / 2, (height + 1) / 2, padding, pixelStride)
        val image = Yuv.toRgb(width, height, y, u, v)
        for (row in 0 until height) for (column in 0 until width) {
            val luma = y.at(column, row)
            val blue = u.at(column / 2, row / 2) - 128
            val red = v.at(column / 2, row / 2) - 128
            val expected = doubleArrayOf(luma + 1.402 * red, luma - 0.344136 * blue - 0.714136 * red, luma + 1.772 * blue)
            for (channel in 0..2) {
                val got = image.pixels[(row * width + column) * 3 + channel].toInt() and 255
                assertTrue(abs(got - expected[channel].roundToInt().coerceIn(0, 255)) <= 1)
            }
        }
    }

    @ParameterizedTest
    @CsvSource("0,false", "90,false", "180,false", "270,false", "0,true", "90,true", "180,true", "270,true")
    fun `turned and mirrored as a mirror of the turned image`(degrees: Int, mirror: Boolean) {
        val width = 6
        val height = 4
        val planes = List(3) { if (it == 0) plane(width, height, 2, 1) else plane(3, 2, 1, 2) }
        val upright = Yuv.toRgb(width, height, planes[0], planes[1], planes[2])
        var expected = upright
        repeat(degrees / 90) { expected = quarterTurn(expected) }
        if (mirror) expected = mirrored(expected)
        val got = Yuv.toRgb(width, height, planes[0], planes[1], planes[2], degrees, mirror)
        assertEquals(expected.width to expected.height, got.width to got.height)
        assertArrayEquals(expected.pixels, got.pixels)
    }

    @Test
    fun `other turns are refused`() {
        val plane = plane(2, 2, 0, 1)
        assertThrows<IllegalArgumentException> { Yuv.toRgb(2, 2, plane, plane, plane, 45) }
    }

    private fun rearranged(width: Int, height: Int, from: RgbImage, source: (Int, Int) -> Pair<Int, Int>): RgbImage {
        val pixels = ByteArray(width * height * 3) { index ->
            val (x, y) = source(index / 3 % width, index / 3 / width)
            from.pixels[(y * from.width + x) * 3 + index % 3]
        }
        return RgbImage(width, height, pixels)
    }

    private fun quarterTurn(image: RgbImage) =
        rearranged(image.height, image.width, image) { x, y -> y to image.height - 1 - x }

    private fun mirrored(image: RgbImage) =
        rearranged(image.width, image.height, image) { x, y -> image.width - 1 - x to y }
}
