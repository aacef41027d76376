package acne.edge.app

import android.graphics.Typeface
import android.text.SpannableStringBuilder
import android.text.Spanned
import android.text.style.RelativeSizeSpan
import android.text.style.StyleSpan

/** Shows a model card: headings, paragraphs, lists and tables of the little Markdown that our cards use. */
object Card {
    private val MARKS = Regex("[*`]|!?\\[([^]]*)]\\([^)]*\\)")
    private val RULE = Regex("[|:\\- ]+")

    /** Returns the card for a text view. */
    fun render(markdown: String): CharSequence {
        val text = SpannableStringBuilder()
        for (block in markdown.trim().split(Regex("\n\\s*\n"))) {
            if (text.isNotEmpty()) text.append("\n\n")
            if (block.startsWith("#")) {
                val start = text.length
                text.append(plain(block.trimStart('#', ' ')))
                text.setSpan(StyleSpan(Typeface.BOLD), start, text.length, Spanned.SPAN_EXCLUSIVE_EXCLUSIVE)
                text.setSpan(RelativeSizeSpan(1.15f), start, text.length, Spanned.SPAN_EXCLUSIVE_EXCLUSIVE)
            } else {
                text.append(lines(block).joinToString("\n") { plain(it) })
            }
        }
        return text
    }

    /** Joins the lines of a paragraph; rows of a table and entries of a list stay apart. */
    private fun lines(block: String): List<String> {
        val lines = ArrayList<String>()
        for (line in block.lines().map { it.trim() }.filterNot { it.startsWith("|") && RULE.matches(it) }) {
            val isNew = lines.isEmpty() || line.startsWith("|") || line.startsWith("- ")
            val shown = if (line.startsWith("|")) line.trim('|', ' ').split("|").joinToString(" · ") { it.trim() } else line
            if (isNew) lines.add(shown) else lines[lines.size - 1] += " $shown"
        }
        return lines
    }

    private fun plain(line: String): String = MARKS.replace(line) { it.groupValues[1] }.replace(Regex("^- "), "• ")
}
