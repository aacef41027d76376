package acne.edge

import java.io.File
import java.io.FileOutputStream
import java.io.IOException
import java.time.OffsetDateTime
import java.time.format.DateTimeFormatter
import java.time.format.DateTimeParseException
import org.json.JSONException
import org.json.JSONObject

/**
 * One photograph that was kept.
 *
 * @property time When it was taken, with the phone's offset from UTC at that time.
 * @property region The part of the face, such as `left cheek`; empty if not said.
 * @property result `acne-run`'s JSON.
 * @property photograph The JPEG file.
 */
class Visit(val id: String, val time: OffsetDateTime, val region: String, val result: JSONObject, val photograph: File) {
    val model: String get() = result.getString("model")
    val counts: Map<String, Int> = result.getJSONObject("counts").let { counts ->
        counts.keys().asSequence().map { it as String }.sorted().associateWith { counts.getInt(it) }
    }
    val total: Int get() = counts.values.sum()
}

/**
 * Visits on the device, a folder each. A visit is there as a whole or not at all, whenever the app is ended.
 *
 * Counts of different models must not be compared; `Visit.model` tells them apart.
 *
 * @param root A folder of the app's own.
 */
class History(private val root: File) {
    /** Names of folders that cannot be read, such as after a damaged storage; they are left alone. */
    var unreadable: List<String> = emptyList()
        private set

    /** Returns all visits, the newest first. */
    fun visits(): List<Visit> {
        val folders = root.listFiles()?.filter { it.isDirectory && !it.name.endsWith(PART) } ?: emptyList()
        val lost = ArrayList<String>()
        val visits = folders.mapNotNull { folder -> read(folder).also { if (it == null) lost.add(folder.name) } }
        unreadable = lost.sorted()
        return visits.sortedWith(compareByDescending<Visit> { it.time.toInstant() }.thenByDescending { it.id })
    }

    /**
     * Keeps a visit.
     *
     * @param json `Result.toJson`.
     * @param photograph Writes the JPEG.
     * @throws AcneEdgeException There is no space, or the folder cannot be written; nothing is kept then.
     */
    fun save(time: OffsetDateTime, region: String, json: String, photograph: (FileOutputStream) -> Unit): Visit {
        val base = DateTimeFormatter.ofPattern("yyyyMMdd-HHmmss").format(time)
        val id = generateSequence(0) { it + 1 }.map { if (it == 0) base else "$base-$it" }.first { !File(root, it).exists() }
        val part = File(root, id + PART)
        try {
            part.deleteRecursively()
            if (!part.mkdirs()) throw IOException("cannot make ${part.name}")
            write(File(part, PHOTOGRAPH), photograph)
            val record = JSONObject().put("time", time.toString()).put("region", region).put("result", JSONObject(json))
            write(File(part, RECORD)) { it.write(record.toString().toByteArray()) }
            if (!part.renameTo(File(root, id))) throw IOException("cannot rename ${part.name}")
        } catch (error: IOException) {
            part.deleteRecursively()
            throw AcneEdgeException("not saved: the phone has no space left, or the storage fails (${error.message})", error)
        }
        return read(File(root, id)) ?: throw AcneEdgeException("not saved: the storage fails")
    }

    /** Removes what an app that was ended in the middle of a save left behind. */
    fun removeParts() {
        root.listFiles()?.filter { it.name.endsWith(PART) }?.forEach { it.deleteRecursively() }
    }

    /** Deletes a visit. */
    fun delete(visit: Visit) {
        // Renamed first, so that a delete that is cut short leaves no half of a visit.
        val part = File(root, visit.id + PART)
        File(root, visit.id).renameTo(part)
        part.deleteRecursively()
    }

    /** Deletes everything, also what cannot be read. */
    fun deleteAll() {
        root.deleteRecursively()
    }

    /** Returns all visits as CSV, the oldest first: time, region, model, lesions, one column per class, severity. */
    fun toCsv(): String {
        val visits = visits().reversed()
        val classes = visits.flatMap { it.counts.keys }.distinct().sorted()
        val header = listOf("time", "region", "model", "lesions") + classes + listOf("severity", "severity_low", "severity_high")
        val rows = visits.map { visit ->
            val severity = visit.result.optJSONObject("severity")
            val interval = severity?.optJSONArray("lesions_interval_90")
            listOf(visit.time.toString(), visit.region, visit.model, visit.total.toString()) +
                classes.map { (visit.counts[it] ?: 0).toString() } +
                listOf(severity?.getString("grade") ?: "", interval?.get(0)?.toString() ?: "", interval?.get(1)?.toString() ?: "")
        }
        return (listOf(header) + rows).joinToString("") { row -> row.joinToString(",", postfix = "\r\n") { quoted(it) } }
    }

    private fun read(folder: File): Visit? = try {
        val record = JSONObject(File(folder, RECORD).readText())
        val photograph = File(folder, PHOTOGRAPH)
        if (!photograph.isFile) throw IOException("no photograph")
        val time = OffsetDateTime.parse(record.getString("time"))
        Visit(folder.name, time, record.getString("region"), record.getJSONObject("result"), photograph)
    } catch (error: IOException) {
        null
    } catch (error: JSONException) {
        null
    } catch (error: DateTimeParseException) {
        null
    }

    private fun write(file: File, content: (FileOutputStream) -> Unit) {
        FileOutputStream(file).use { stream ->
            content(stream)
            stream.fd.sync()
        }
    }

    /** As RFC 4180 has it; a leading `=`, `+`, `-` or `@` would be a formula in a spreadsheet. */
    private fun quoted(cell: String): String {
        val text = if (cell.isNotEmpty() && cell[0] in "=+-@") "'$cell" else cell
        return if (text.any { it in ",\"\r\n" }) "\"${text.replace("\"", "\"\"")}\"" else text
    }

    private companion object {
        const val PART = ".part"
        const val RECORD = "visit.json"
        const val PHOTOGRAPH = "photograph.jpg"
    }
}
