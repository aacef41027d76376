package acne.edge.app

import acne.edge.Severity
import acne.edge.demo.R
import android.content.Context
import android.text.SpannableStringBuilder
import android.text.Spanned
import android.text.style.ForegroundColorSpan

/** Names of types and grades in the phone's language, and sentences made of them. */
object Words {
    private val TYPES = mapOf(
        "comedones" to R.string.type_comedones, "nodules" to R.string.type_nodules,
        "papules" to R.string.type_papules, "pustules" to R.string.type_pustules
    )
    private val GRADES = mapOf(
        "mild" to R.string.grade_mild, "moderate" to R.string.grade_moderate,
        "severe" to R.string.grade_severe, "very severe" to R.string.grade_very_severe
    )

    /** Keys of the regions in the order of the resource's list; they are what is stored. */
    val REGIONS = listOf("left half", "right half", "forehead", "chin", "other")

    fun type(context: Context, name: String): String = TYPES[name]?.let { context.getString(it) } ?: name

    /** Counts in the order of the classes, each behind the colour of its boxes. */
    fun counts(context: Context, counts: Map<String, Int>): CharSequence {
        val text = SpannableStringBuilder()
        counts.entries.forEachIndexed { index, (name, count) ->
            if (count == 0) return@forEachIndexed
            if (text.isNotEmpty()) text.append("   ")
            text.append("■", ForegroundColorSpan(Boxes.color(index)), Spanned.SPAN_EXCLUSIVE_EXCLUSIVE)
            // Not broken between the square, the number and the name.
            text.append("\u00a0").append(context.getString(R.string.count, count, type(context, name)).replace(' ', '\u00a0'))
        }
        return if (text.isEmpty()) context.getString(R.string.none_found) else text
    }

    fun severity(context: Context, severity: Severity): String {
        val grade = context.getString(GRADES.getValue(severity.grade)).replaceFirstChar { it.uppercase() }
        val interval = severity.interval ?: return context.getString(R.string.half_face_no_interval, grade, severity.lesions)
        return context.getString(R.string.half_face, grade, severity.lesions, interval.first, interval.last)
    }

    fun region(context: Context, key: String): String =
        REGIONS.indexOf(key).let { if (it < 0) key else context.resources.getStringArray(R.array.regions)[it] }
}
