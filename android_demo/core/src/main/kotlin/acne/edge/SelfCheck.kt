package acne.edge

import java.io.InputStream
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.util.zip.GZIPInputStream
import org.json.JSONObject

/**
 * Whether this device gives the trainer's answer: the golden image of a model, run again.
 *
 * @property equal Output values equal to the recorded ones, bit for bit.
 * @property total All output values.
 * @property largestDifference Between an output value and the recorded one.
 */
class SelfCheck(val equal: Int, val total: Int, val largestDifference: Float) {
    val passed: Boolean get() = equal == total

    override fun toString(): String = if (passed) {
        "This phone gives the trainer's answer: $equal of $total values."
    } else {
        "This phone differs from the trainer's answer in ${total - equal} of $total values, by at most $largestDifference."
    }

    companion object {
        /**
         * Runs the golden image.
         *
         * @param detector The opened model.
         * @param fileName The model's file name, as `golden.json` lists it.
         * @param golden Opens a file of the model's `golden/` folder by its name.
         * @param tensor Returns `[height, width, 3]` RGB bytes of `tensor.png`, since decoding is the platform's.
         * @throws ModelException The golden files do not belong to the model.
         */
        fun run(
            detector: AcneDetector, fileName: String, golden: (String) -> InputStream, tensor: (InputStream) -> RgbImage
        ): SelfCheck {
            val record = JSONObject(golden("golden.json").use { String(it.readBytes(), Charsets.UTF_8) })
            val outputs = record.getJSONObject("files").optJSONObject(fileName)?.getJSONObject("outputs")
                ?: throw ModelException("$fileName: no golden outputs of this file")
            val computed = detector.run(golden(record.getString("tensor")).use(tensor).pixels)
            var equal = 0
            var total = 0
            var largest = 0f
            for (spec in detector.manifest.outputs) {
                val file = outputs.getJSONObject(spec.name).getString("file")
                val bytes = GZIPInputStream(golden(file)).use { it.readBytes() }
                val expected = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer()
                val values = computed.getValue(spec.name)
                if (values.size != expected.remaining()) throw ModelException("$fileName: golden outputs of another model")
                for (index in values.indices) {
                    if (values[index] == expected.get(index)) equal++
                    largest = maxOf(largest, kotlin.math.abs(values[index] - expected.get(index)))
                }
                total += values.size
            }
            return SelfCheck(equal, total, largest)
        }
    }
}
