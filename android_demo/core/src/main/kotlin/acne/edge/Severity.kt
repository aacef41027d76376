package acne.edge

import org.json.JSONException
import org.json.JSONObject

/**
 * Severity of half a face by Hayashi, Akamatsu and Kawashima 2008; mirrors `acne_runtime.severity`.
 *
 * @property lesions About how many lesions there are: those counted, which may include some with too low a score to be
 *     shown, times the median ratio of labelled to counted ones on validation images.
 * @property interval 90 % prediction interval of the labelled count; null for a model without calibrated counts.
 * @property types The types that were counted.
 */
class Severity(val lesions: Int, val interval: IntRange?, val types: List<String>) {
    /** One of [GRADES]. */
    val grade: String get() = gradeOf(lesions)

    /** The grades of the interval's ends. */
    val gradesInterval: Pair<String, String>? get() = interval?.let { gradeOf(it.first) to gradeOf(it.last) }

    /** How many more lesions make the next grade; null for the last one. */
    val lesionsToNextGrade: Int? get() = UPPER.firstOrNull { lesions <= it }?.let { it + 1 - lesions }

    /** What was counted, in words. */
    val what: String
        get() = when {
            types.toSet() == COUNTED.toSet() -> COUNTED.joinToString(" and ")
            NOT_INFLAMMATORY in types -> "lesions"
            else -> "inflammatory lesions"
        }

    companion object {
        val GRADES = listOf("mild", "moderate", "severe", "very severe")
        private val UPPER = intArrayOf(5, 20, 50)
        val COUNTED = listOf("papules", "pustules")
        private const val NOT_INFLAMMATORY = "comedones"

        /** Returns the grade for a number of lesions on half of a face. */
        fun gradeOf(lesions: Int): String = GRADES[UPPER.count { it < lesions }]
    }
}

/** Counts for the severity as the trainer calibrated it; mirrors `acne_runtime.predictors.severity_model`. */
internal class SeverityCounter private constructor(
    private val types: List<String>, val threshold: Float, private val median: Double, private val ratio: Pair<Double, Double>?
) {
    fun severity(lesions: List<Lesion>): Severity {
        val count = lesions.count { it.name in types && it.score >= threshold }
        val interval = ratio?.let { (low, high) -> scaled(count, low)..scaled(count, high) }
        return Severity(scaled(count, median), interval, types)
    }

    private fun scaled(count: Int, ratio: Double): Int = maxOf(0, roundHalfEven((count + 1) * ratio - 1))

    companion object {
        /** Returns the counter of a model, or null if it does not detect the types that count. */
        fun of(manifest: Manifest): SeverityCounter? {
            if (!manifest.isDetector) return null
            try {
                val counting: JSONObject? = manifest.raw.optJSONObject("validation")?.optJSONObject("counting")
                val listed = counting?.optJSONArray("types")
                val types = listed?.let { array -> List(array.length()) { array.getString(it) } } ?: Severity.COUNTED
                if (!manifest.classes.containsAll(types)) return null
                if (counting == null) return SeverityCounter(types, manifest.thresholds[0], 1.0, null)
                val ratio = counting.getJSONArray("ratio_90")
                val (low, high) = ratio.getDouble(0) to ratio.getDouble(1)
                val median = counting.optDouble("ratio_50", maxOf(1.0, low).coerceAtMost(high))
                return SeverityCounter(types, counting.getDouble("threshold").toFloat(), median, low to high)
            } catch (error: JSONException) {
                throw ModelException("${manifest.name}: invalid validation.counting (${error.message})", error)
            }
        }
    }
}
