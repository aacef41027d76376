package acne.edge

import java.io.File
import java.io.IOException
import java.time.OffsetDateTime
import org.json.JSONArray
import org.json.JSONObject
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.BeforeEach
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.assertThrows
import org.junit.jupiter.api.io.TempDir

class HistoryTest {
    @TempDir lateinit var folder: File
    private lateinit var history: History
    private val day = OffsetDateTime.parse("2026-11-26T09:30:00+01:00")

    @BeforeEach
    fun make() {
        history = History(File(folder, "visits"))
    }

    private fun json(papules: Int, comedones: Int = 1) = JSONObject()
        .put("model", "acne-yolov8-lite0").put("counts", JSONObject().put("papules", papules).put("comedones", comedones))
        .put("severity", JSONObject().put("grade", "mild").put("lesions_interval_90", JSONArray(listOf(0, 7)))).toString()

    private fun save(time: OffsetDateTime, papules: Int, region: String = "left cheek") =
        history.save(time, region, json(papules)) { it.write(byteArrayOf(1, 2, 3)) }

    @Test
    fun `visits come back, the newest first`() {
        save(day, 4)
        save(day.plusDays(7), 2)
        save(day.minusDays(7), 9)
        assertEquals(listOf(2, 4, 9), history.visits().map { it.counts["papules"] })
        val newest = history.visits()[0]
        assertEquals("left cheek" to 3, newest.region to newest.total)
        assertEquals(listOf<Byte>(1, 2, 3), newest.photograph.readBytes().toList())
        assertEquals(day.plusDays(7), newest.time)
    }

    @Test
    fun `two visits in one second are both kept`() {
        assertEquals(listOf("20261126-093000", "20261126-093000-1"), List(2) { save(day, it).id })
        assertEquals(2, history.visits().size)
    }

    @Test
    fun `the order is that of the instants, whatever the time zone`() {
        save(OffsetDateTime.parse("2026-11-26T09:00:00+09:00"), 1)
        save(OffsetDateTime.parse("2026-11-26T08:00:00+01:00"), 2)
        assertEquals(listOf(2, 1), history.visits().map { it.counts["papules"] })
    }

    @Test
    fun `where the photograph cannot be written nothing is kept`() {
        val error = assertThrows<AcneEdgeException> {
            history.save(day, "", json(1)) { throw IOException("No space left on device") }
        }
        assertTrue(error.message!!.startsWith("not saved: the phone has no space left"), error.message)
        assertEquals(emptyList<String>(), File(folder, "visits").list()?.toList())
    }

    @Test
    fun `a save that was cut short is not shown and can be removed`() {
        save(day, 1)
        for (left in listOf(listOf(), listOf("photograph.jpg"), listOf("photograph.jpg", "visit.json"))) {
            val part = File(folder, "visits/20261127-080000.part").apply { deleteRecursively(); mkdirs() }
            left.forEach { File(part, it).writeText("{") }
            assertEquals(1, history.visits().size)
            assertEquals(emptyList<String>(), history.unreadable)
            history.removeParts()
            assertFalse(part.exists())
        }
    }

    @Test
    fun `a damaged visit is named and the others are read`() {
        save(day, 1)
        val damaged = listOf("", "{", "[]", "{\"time\": \"yesterday\", \"region\": \"\", \"result\": {}}")
        for (text in damaged) {
            save(day.plusDays(1), 2).photograph.resolveSibling("visit.json").writeText(text)
            assertEquals(1, history.visits().size, text)
            assertEquals(listOf("20261127-093000"), history.unreadable)
            File(folder, "visits/20261127-093000").deleteRecursively()
        }
    }

    @Test
    fun `one visit or all are deleted`() {
        val first = save(day, 1)
        save(day.plusDays(1), 2)
        history.delete(first)
        assertEquals(listOf(2), history.visits().map { it.counts["papules"] })
        history.deleteAll()
        assertEquals(emptyList<Visit>(), history.visits())
        assertFalse(File(folder, "visits").exists())
    }

    @Test
    fun `CSV has the oldest first, and no formulas`() {
        save(day.plusDays(7), 2)
        save(day, 4, "=left, \"lower\"")
        val lines = history.toCsv().split("\r\n")
        assertEquals("time,region,model,lesions,comedones,papules,severity,severity_low,severity_high", lines[0])
        assertEquals("2026-11-26T09:30+01:00,\"'=left, \"\"lower\"\"\",acne-yolov8-lite0,5,1,4,mild,0,7", lines[1])
        assertEquals("2026-12-03T09:30+01:00,left cheek,acne-yolov8-lite0,3,1,2,mild,0,7", lines[2])
    }
}
