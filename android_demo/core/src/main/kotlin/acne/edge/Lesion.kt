package acne.edge

/**
 * One lesion; mirrors `acne_runtime.result.Lesion`. A result has each lesion once.
 *
 * @property name The most probable type.
 * @property score Probability that a lesion of any type is present, 0 to 1.
 * @property box `x1, y1, x2, y2` in pixels of the image.
 * @property types The probability of each type, in the order of `Result.classes`.
 * @property unsure Whether another type is nearly as probable: at least 0.8 times the first's probability.
 */
class Lesion(val name: String, val score: Float, val box: FloatArray, val types: FloatArray, val unsure: Boolean) {
    companion object {
        private const val UNSURE_RATIO = 0.8

        /** Returns a lesion of the most probable type, the first of equal ones. */
        fun ofTypes(classes: List<String>, score: Float, box: FloatArray, types: FloatArray): Lesion {
            var best = 0
            for (index in types.indices) if (types[index] > types[best]) best = index
            val second = types.indices.filter { it != best }.maxOfOrNull { types[it] } ?: -1f
            return Lesion(classes[best], score, box, types, second.toDouble() >= UNSURE_RATIO * types[best].toDouble())
        }
    }
}

/** A multi-label model's prediction for one type: its probability, and whether it reaches the type's threshold. */
class Label(val name: String, val score: Float, val present: Boolean)
