package acne.edge

import java.awt.image.BufferedImage
import java.io.File
import java.io.InputStream
import javax.imageio.ImageIO

/** The inputs that `vectors.py` makes from a seed. */
object Noise {
    fun bits(index: Int, seed: Int): Int {
        var value = index * -1640531535 + seed * 40503
        value = value xor (value ushr 15)
        value *= -2048144777
        return value xor (value ushr 13)
    }

    fun image(width: Int, height: Int, seed: Int) =
        RgbImage(width, height, ByteArray(width * height * 3) { (bits(it, seed) ushr 24).toByte() })

    fun outputs(manifest: Manifest, seed: Int): Map<String, FloatArray> =
        manifest.outputs.withIndex().associate { (index, spec) ->
            spec.name to FloatArray(manifest.outputSize(spec)) { at ->
                val bits = bits(at, seed * 100 + index)
                if (spec.kind == "box") {
                    (bits ushr 16) / 4096f - 8f
                } else {
                    val score = (bits ushr 8) / 16777216f
                    if ((bits.toLong() and 0xffffffffL) % 97 == 0L) score else score * 0.05f
                }
            }
        }
}

fun readPng(stream: InputStream): RgbImage = rgb(ImageIO.read(stream))

fun readPng(file: File): RgbImage = rgb(ImageIO.read(file))

private fun rgb(image: BufferedImage): RgbImage {
    val argb = image.getRGB(0, 0, image.width, image.height, null, 0, image.width)
    // Red, green and blue are the bytes behind the alpha.
    return RgbImage(image.width, image.height, ByteArray(argb.size * 3) { (argb[it / 3] shr (16 - 8 * (it % 3))).toByte() })
}
