package acne.edge

import org.json.JSONArray
import org.json.JSONException
import org.json.JSONObject

/** The one input tensor, `[1, height, width, 3]` uint8 RGB; see `acne_runtime.manifest.InputSpec`. */
class InputSpec(
    val name: String, val width: Int, val height: Int, val resize: String, val padValue: Int, val shrink: String
)

/** One output tensor, float32; see `acne_runtime.manifest.OutputSpec` for the kinds and their shapes. */
class OutputSpec(val name: String, val kind: String, val stride: Int)

/**
 * Everything a device needs to know about a model; stored in the model file. Mirrors `acne_runtime.manifest`.
 *
 * @property thresholds Of a detector one, for the lesion score; else one per class.
 * @property nmsContainment Share of a box inside a worse, larger one, above which the larger one is dropped.
 * @property boxVotingScore Score above which a candidate votes on a lesion's box; 1 if none does.
 * @property digest SHA-256 of the model file with its own digits as zeros; empty where there is none.
 * @property raw The whole manifest, with what only people read: validation, provenance, licence.
 */
class Manifest private constructor(
    val name: String,
    val task: String,
    val classes: List<String>,
    val input: InputSpec,
    val outputs: List<OutputSpec>,
    val thresholds: FloatArray,
    val bins: Int,
    val nmsIou: Float,
    val nmsContainment: Float,
    val maxDetections: Int,
    val boxVotingScore: Float,
    val precision: String,
    val digest: String,
    val raw: JSONObject,
) {
    val isDetector: Boolean get() = task == "detection"

    /** Whether the graph includes decoding and non-maximum suppression. */
    val hasNms: Boolean get() = outputs.any { it.kind == "lesion_count" }

    /** Returns the number of values of an output. */
    fun outputSize(output: OutputSpec): Int = when (output.kind) {
        "label" -> classes.size
        "lesion_box" -> maxDetections * 4
        "lesion_score" -> maxDetections
        "lesion_types" -> maxDetections * classes.size
        "lesion_count" -> 1
        else -> input.height / output.stride * (input.width / output.stride) *
            (if (output.kind == "box") 4 * bins else classes.size)
    }

    companion object {
        /** Key of the manifest in ONNX `metadata_props` and in TFLite metadata. */
        const val METADATA_KEY = "acne_edge_manifest"
        const val SCHEMA = 2
        private const val MAX_SIDE = 8192

        /**
         * Reads a manifest.
         *
         * @param text JSON as `acne-export` writes it.
         * @param origin The file it is from, for error messages.
         * @throws ModelException The text is not a manifest of a model that this library can run.
         */
        fun fromJson(text: String, origin: String): Manifest {
            fun check(holds: Boolean, message: String) {
                if (!holds) throw ModelException("$origin: $message")
            }
            try {
                val raw = JSONObject(text)
                val schema = raw.getInt("schema")
                // Of multi-label models, schema 1 is the same.
                val known = schema == SCHEMA || (schema == 1 && raw.getString("task") == "multilabel")
                check(known, "its manifest has schema $schema, not $SCHEMA; export the model again with acne-export")
                val input = raw.getJSONObject("input")
                check(
                    input.getString("dtype") == "uint8" && input.getString("layout") == "NHWC" && input.getInt("batch") == 1,
                    "takes other tensors than one uint8 image; export the model again with acne-export --format tflite"
                )
                val manifest = Manifest(
                    raw.getString("name"),
                    raw.getString("task"),
                    raw.getJSONArray("classes").map { getString(it) },
                    InputSpec(
                        input.getString("name"), input.getInt("width"), input.getInt("height"),
                        input.getString("resize"), input.getInt("pad_value"), input.optString("shrink", "bilinear")
                    ),
                    raw.getJSONArray("outputs").map { index ->
                        getJSONObject(index).let { OutputSpec(it.getString("name"), it.getString("kind"), it.getInt("stride")) }
                    },
                    raw.getJSONArray("thresholds").map { getDouble(it).toFloat() }.toFloatArray(),
                    raw.getInt("bins"),
                    raw.getDouble("nms_iou").toFloat(),
                    raw.optDouble("nms_containment", 1.0).toFloat(), // older files: none is dropped
                    raw.getInt("max_detections"),
                    raw.optDouble("box_voting_score", 1.0).toFloat(), // older files: no candidate votes
                    raw.getString("precision"),
                    raw.getString("digest"),
                    raw,
                )
                manifest.check(::check)
                return manifest
            } catch (error: JSONException) {
                throw ModelException("$origin: not an Acne Edge manifest (${error.message})", error)
            }
        }

        private fun <T> JSONArray.map(read: JSONArray.(Int) -> T): List<T> = List(length()) { read(it) }

        private fun Manifest.check(check: (Boolean, String) -> Unit) {
            check(classes.isNotEmpty() && classes.toSet().size == classes.size, "invalid manifest: classes $classes")
            check(input.width in 1..MAX_SIDE && input.height in 1..MAX_SIDE, "invalid manifest: the input's size")
            check(input.resize in listOf("stretch", "letterbox"), "unknown resize ${input.resize}; update the app")
            check(input.shrink in listOf("bilinear", "average"), "unknown shrink ${input.shrink}; update the app")
            check(thresholds.all { it in 0f..1f }, "invalid manifest: thresholds")
            check(boxVotingScore in 0f..1f, "invalid manifest: box_voting_score")
            check(nmsContainment > 0 && nmsContainment <= 1, "invalid manifest: nms_containment")
            check(thresholds.size == (if (isDetector) 1 else classes.size), "invalid manifest: number of thresholds")
            val kinds = outputs.map { it.kind }
            when {
                !isDetector -> check(task == "multilabel" && kinds == listOf("label"), "invalid manifest: outputs $kinds")
                hasNms -> check(
                    kinds.sorted() == listOf("lesion_box", "lesion_count", "lesion_score", "lesion_types"),
                    "invalid manifest: outputs $kinds"
                )
                else -> {
                    val strides = outputs.groupBy({ it.kind }, { it.stride })
                    check(strides.keys == setOf("box", "score"), "not a detector of Acne Edge: outputs $kinds")
                    check(strides["box"]!!.sorted() == strides["score"]!!.sorted(), "invalid manifest: strides")
                    check(bins > 1 && outputs.all { it.stride > 0 && input.width % it.stride == 0 && input.height % it.stride == 0 },
                        "invalid manifest: bins or strides")
                }
            }
        }
    }
}
