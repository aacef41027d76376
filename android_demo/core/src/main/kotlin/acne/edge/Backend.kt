package acne.edge

import java.io.Closeable

/** Runs a model file. Used by one thread at a time. */
interface Backend : Closeable {
    /** What runs the file, for people, such as `TensorFlow Lite 2.16.1 (XNNPACK)`. */
    val name: String

    /** The manifest's text in the file, or null if it has none. */
    val manifestText: String?

    /**
     * Computes all outputs.
     *
     * @param tensor `[height, width, 3]` uint8 RGB.
     * @param outputs The manifest's.
     * @return float32 values by output name.
     */
    fun run(tensor: ByteArray, input: InputSpec, outputs: List<OutputSpec>): Map<String, FloatArray>
}

/** Opens a model file in a backend. */
fun interface BackendFactory {
    /**
     * Opens a model.
     *
     * @param content The file's bytes, whose digest has been checked where the file states one.
     * @param threads Threads of one inference.
     */
    fun open(content: ByteArray, threads: Int): Backend

    companion object {
        /** Opens a TFLite file with TensorFlow Lite or LiteRT; found by name, so that this library needs neither. */
        val TFLITE: BackendFactory = BackendFactory { content, threads ->
            val factory = try {
                Class.forName("acne.edge.tflite.TfliteBackend\$Factory")
            } catch (error: ClassNotFoundException) {
                throw AcneEdgeException("the library acne-edge-tflite is missing in this app", error)
            }
            (factory.getDeclaredConstructor().newInstance() as BackendFactory).open(content, threads)
        }
    }
}
