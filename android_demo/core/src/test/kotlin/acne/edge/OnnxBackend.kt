package acne.edge

import ai.onnxruntime.OnnxJavaType
import ai.onnxruntime.OnnxTensor
import ai.onnxruntime.OrtEnvironment
import ai.onnxruntime.OrtException
import ai.onnxruntime.OrtSession
import java.nio.ByteBuffer
import java.nio.ByteOrder

/** ONNX Runtime's Java API: proves the core on the ONNX files too. */
class OnnxBackend(content: ByteArray, threads: Int) : Backend {
    private val environment = OrtEnvironment.getEnvironment()
    private val session = try {
        environment.createSession(content, OrtSession.SessionOptions().apply { setIntraOpNumThreads(threads) })
    } catch (error: OrtException) {
        throw ModelException("not an ONNX file", error)
    }
    override val name = "ONNX Runtime"
    override val manifestText: String? = session.metadata.customMetadata[Manifest.METADATA_KEY]

    override fun run(tensor: ByteArray, input: InputSpec, outputs: List<OutputSpec>): Map<String, FloatArray> {
        val buffer = ByteBuffer.allocateDirect(tensor.size).order(ByteOrder.nativeOrder())
        buffer.put(tensor)
        buffer.rewind()
        val shape = longArrayOf(1, input.height.toLong(), input.width.toLong(), 3)
        OnnxTensor.createTensor(environment, buffer, shape, OnnxJavaType.UINT8).use { image ->
            session.run(mapOf(input.name to image)).use { results ->
                return results.associate { (name, value) ->
                    val values = (value as OnnxTensor).floatBuffer
                    name to FloatArray(values.remaining()).also { values.get(it) }
                }
            }
        }
    }

    override fun close() = session.close()
}

val ONNX = BackendFactory { content, threads -> OnnxBackend(content, threads) }
