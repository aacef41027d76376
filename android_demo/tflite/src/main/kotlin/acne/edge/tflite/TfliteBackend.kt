package acne.edge.tflite

import acne.edge.AcneEdgeException
import acne.edge.Backend
import acne.edge.BackendFactory
import acne.edge.InputSpec
import acne.edge.Manifest
import acne.edge.ModelException
import acne.edge.OutputSpec
import acne.edge.TfliteMetadata
import java.nio.ByteBuffer
import java.nio.ByteOrder
import org.tensorflow.lite.Interpreter
import org.tensorflow.lite.TensorFlowLite

/**
 * TensorFlow Lite on the CPU. With XNNPACK int8 files give the trainer's answer bit for bit; without, scores are off by
 * up to 0.03 (other kernels round differently), which `SelfCheck` shows.
 */
class TfliteBackend private constructor(content: ByteArray, threads: Int, xnnpack: Boolean) : Backend {
    override val name = "TensorFlow Lite ${TensorFlowLite.runtimeVersion()}, ${if (xnnpack) "XNNPACK" else "built-in kernels"}"
    override val manifestText: String? =
        TfliteMetadata.read(content, Manifest.METADATA_KEY)?.let { String(it, Charsets.UTF_8) }
    private val interpreter: Interpreter
    private val signature: String

    init {
        val model = direct(content.size)
        model.put(content)
        model.rewind()
        interpreter = try {
            Interpreter(model, Interpreter.Options().setNumThreads(threads).setUseXNNPACK(xnnpack))
        } catch (error: IllegalArgumentException) {
            throw ModelException("TensorFlow Lite cannot open this file (${error.message?.lineSequence()?.first()})", error)
        }
        signature = interpreter.signatureKeys.firstOrNull() ?: throw ModelException("the TFLite file has no signature")
    }

    override fun run(tensor: ByteArray, input: InputSpec, outputs: List<OutputSpec>): Map<String, FloatArray> {
        val image = direct(tensor.size)
        image.put(tensor)
        image.rewind()
        val buffers = outputs.associate {
            it.name to direct(interpreter.getOutputTensorFromSignature(it.name, signature).numBytes())
        }
        try {
            interpreter.runSignature(mapOf<String, Any>(input.name to image), buffers.toMap<String, Any>(), signature)
        } catch (error: IllegalArgumentException) {
            throw ModelException("the model failed (${error.message?.lineSequence()?.first()})", error)
        }
        return buffers.mapValues { (_, buffer) ->
            buffer.rewind()
            FloatArray(buffer.remaining() / 4).also { buffer.asFloatBuffer().get(it) }
        }
    }

    override fun close() = interpreter.close()

    private fun direct(size: Int): ByteBuffer = ByteBuffer.allocateDirect(size).order(ByteOrder.nativeOrder())

    /** Opens a file with XNNPACK; what `AcneDetector.open` uses unless told otherwise. */
    class Factory(private val xnnpack: Boolean) : BackendFactory {
        constructor() : this(true)

        override fun open(content: ByteArray, threads: Int): Backend = try {
            TfliteBackend(content, threads, xnnpack)
        } catch (error: UnsatisfiedLinkError) {
            throw AcneEdgeException("TensorFlow Lite has no library for this phone's processor", error)
        }
    }
}
