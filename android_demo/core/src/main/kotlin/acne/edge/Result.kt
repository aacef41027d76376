package acne.edge

import java.math.BigDecimal
import java.math.RoundingMode
import org.json.JSONStringer

/** Milliseconds of each step. */
class Timing(val preprocess: Double, val inference: Double, val postprocess: Double) {
    val total: Double get() = preprocess + inference + postprocess
}

/**
 * The result for one image; mirrors `acne_runtime.result.Result`.
 *
 * @property width Width of the image in pixels.
 * @property height Height of the image in pixels.
 * @property lesions Best score first; null for a multi-label model.
 * @property labels One per class; null for a detector.
 * @property severity Of a detector that can count; meant for images of half a face.
 */
class Result(
    val width: Int,
    val height: Int,
    val model: String,
    val classes: List<String>,
    val lesions: List<Lesion>?,
    val labels: List<Label>?,
    val severity: Severity?,
    val timing: Timing,
) {
    /** The number of lesions (detection) or 0 or 1 for present (multi-label), by class. */
    val counts: Map<String, Int> by lazy {
        val names = lesions?.map { it.name } ?: labels!!.filter { it.present }.map { it.name }
        classes.associateWith { name -> names.count { it == name } }
    }

    /**
     * Returns `acne-run`'s JSON, schema 2, in one line.
     *
     * @param source Where the image is from.
     * @param withSeverity Whether the image shows half of a face, for which alone the severity is defined.
     */
    fun toJson(source: String, withSeverity: Boolean = true): String {
        val json = JSONStringer().`object`()
        json.key("schema").value(SCHEMA).key("source").value(source).key("frame").value(0).key("time_s").value(0)
        json.key("width").value(width).key("height").value(height).key("model").value(model)
        if (lesions != null) {
            json.key("lesions").array()
            for (lesion in lesions) {
                json.`object`().key("class").value(lesion.name).key("score").value(rounded(lesion.score, 4))
                json.key("types").`object`()
                for ((name, type) in classes.zip(lesion.types.toList())) json.key(name).value(rounded(type, 4))
                json.endObject()
                if (lesion.unsure) json.key("unsure").value(true)
                json.key("box").array()
                for (side in lesion.box) json.value(rounded(side, 2))
                json.endArray().endObject()
            }
            json.endArray()
        }
        if (labels != null) {
            json.key("labels").array()
            for (label in labels) {
                json.`object`().key("class").value(label.name).key("score").value(rounded(label.score, 4))
                json.key("present").value(label.present).endObject()
            }
            json.endArray()
        }
        json.key("counts").`object`()
        for ((name, count) in counts) json.key(name).value(count)
        json.endObject()
        if (severity != null && withSeverity) {
            json.key("severity").`object`().key("grade").value(severity.grade)
            json.key("scale").value("Hayashi 2008: ${severity.what} on half of a face").key("lesions").value(severity.lesions)
            severity.interval?.let { json.key("lesions_interval_90").array().value(it.first).value(it.last).endArray() }
            severity.gradesInterval?.let { json.key("grades_interval_90").array().value(it.first).value(it.second).endArray() }
            severity.lesionsToNextGrade?.let { json.key("lesions_to_next_grade").value(it) }
            json.key("note").value(NO_DIAGNOSIS).endObject()
        }
        json.key("timing_ms").`object`().key("preprocess").value(rounded(timing.preprocess, 3))
        json.key("inference").value(rounded(timing.inference, 3)).key("postprocess").value(rounded(timing.postprocess, 3))
        return json.endObject().endObject().toString()
    }

    companion object {
        const val SCHEMA = 2
        const val NO_DIAGNOSIS = "For education and monitoring only. Not a medical diagnosis."

        /** Rounds as Python's `round` does: the exact binary value, halves to even. */
        private fun rounded(value: Number, digits: Int): Double =
            BigDecimal(value.toDouble()).setScale(digits, RoundingMode.HALF_EVEN).toDouble()
    }
}
