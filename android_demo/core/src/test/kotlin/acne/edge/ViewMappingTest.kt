package acne.edge

import org.junit.jupiter.api.Assertions.assertArrayEquals
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Test
import org.junit.jupiter.params.ParameterizedTest
import org.junit.jupiter.params.provider.CsvSource

class ViewMappingTest {
    private val box = floatArrayOf(100f, 50f, 140f, 80f)

    private fun assertBox(expected: List<Number>, mapping: ViewMapping) =
        assertArrayEquals(expected.map { it.toFloat() }.toFloatArray(), mapping.toView(box), 1e-3f)

    @Test
    fun `a whole image is centred`() {
        assertBox(listOf(100, 50, 140, 80), ViewMapping(640, 480, 640, 480, fill = false, mirror = false))
        assertBox(listOf(200, 350, 280, 410), ViewMapping(640, 480, 1280, 1460, fill = false, mirror = false))
    }

    @Test
    fun `an image that fills the view is cropped evenly`() {
        // 480 rows become 960; 1,280 columns, of which 320 on each side are outside the view of 640.
        assertBox(listOf(-120, 100, -40, 160), ViewMapping(640, 480, 640, 960, fill = true, mirror = false))
    }

    @Test
    fun `a mirrored image has left and right exchanged`() {
        assertBox(listOf(500, 50, 540, 80), ViewMapping(640, 480, 640, 480, fill = false, mirror = true))
        assertBox(listOf(680, 100, 760, 160), ViewMapping(640, 480, 640, 960, fill = true, mirror = true))
    }

    @ParameterizedTest
    @CsvSource("false,false", "false,true", "true,false", "true,true")
    fun `a touched point is the image's point`(fill: Boolean, mirror: Boolean) {
        val mapping = ViewMapping(640, 480, 1080, 1920, fill, mirror)
        val (x1, y1, x2, _) = mapping.toView(box)
        val (x, y) = mapping.toImage(if (mirror) x2 else x1, y1)
        assertEquals(100f, x, 1e-2f)
        assertEquals(50f, y, 1e-2f)
    }

    /** Phones have sensors at 90 (back) and 270 (front) degrees; tablets often at 0. */
    @ParameterizedTest
    @CsvSource(
        "90,0,false,90", "90,90,false,0", "90,180,false,270", "90,270,false,180",
        "270,0,true,270", "270,90,true,0", "270,180,true,90", "270,270,true,180", "0,0,false,0", "0,90,false,270"
    )
    fun `a camera's image is turned upright`(sensor: Int, display: Int, front: Boolean, expected: Int) {
        assertEquals(expected, ViewMapping.uprightRotation(sensor, display, front))
    }

    @Test
    fun `a hot phone is slower, a very hot one pauses`() {
        assertEquals(listOf<Long?>(0, 0, 300, 1500, null, null, null), (0..6).map { Throttle.pauseMillis(it) })
        assertNull(Throttle.pauseMillis(6))
    }
}
