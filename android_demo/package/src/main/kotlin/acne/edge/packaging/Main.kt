package acne.edge.packaging

import com.android.apksig.ApkSigner
import com.android.apksig.ApkVerifier
import java.io.File
import java.nio.file.attribute.FileTime
import java.security.KeyStore
import java.security.PrivateKey
import java.security.cert.X509Certificate
import java.util.zip.CRC32
import java.util.zip.ZipEntry
import java.util.zip.ZipFile
import java.util.zip.ZipOutputStream

private const val PASSWORD = "android"
private const val ALIAS = "debug"
private const val PAGE = 16384

/** The time of all entries, so that two builds are the same bytes; the earliest that ZIP has. */
private val TIME = FileTime.fromMillis(315_532_800_000)

/**
 * Makes the APK: `base.apk dex.zip key.p12 out.apk ABI=library.so...`
 *
 * `base.apk` holds the manifest, resources and assets as aapt2 linked them, `dex.zip` the code as R8 made it.
 */
fun main(arguments: Array<String>) {
    val (base, dex, key, out) = arguments.take(4).map { File(it) }
    val unsigned = File(out.path + ".unsigned")
    ZipOutputStream(unsigned.outputStream().buffered()).use { zip ->
        for (source in listOf(base, dex)) {
            ZipFile(source).use { file ->
                // R8 hands on the jars' other files too, such as Maven's, which hold the time of the build.
                val wanted = file.entries().asSequence().filter { !it.isDirectory && (source == base || it.name.endsWith(".dex")) }
                for (entry in wanted.sortedBy { it.name }) {
                    add(zip, entry.name, file.getInputStream(entry).use { it.readBytes() }, entry.method == ZipEntry.STORED)
                }
            }
        }
        for (library in arguments.drop(4)) {
            val (abi, file) = library.split("=", limit = 2)
            val content = File(file).readBytes()
            val aligned = if (abi == "arm64-v8a") PageAlignment.align(content) else content
            add(zip, "lib/$abi/${File(file).name}", aligned, isStored = true) // loaded from the APK, not unpacked
        }
    }
    sign(unsigned, out, key)
    unsigned.delete()
    println("${out.path}: ${out.length()} bytes")
}

private fun add(zip: ZipOutputStream, name: String, content: ByteArray, isStored: Boolean) {
    val entry = ZipEntry(name).apply { lastModifiedTime = TIME; method = if (isStored) ZipEntry.STORED else ZipEntry.DEFLATED }
    if (isStored) {
        entry.size = content.size.toLong()
        entry.compressedSize = entry.size
        entry.crc = CRC32().apply { update(content) }.value
    }
    zip.putNextEntry(entry)
    zip.write(content)
    zip.closeEntry()
}

private fun sign(unsigned: File, out: File, key: File) {
    if (!key.exists()) makeKey(key)
    val store = KeyStore.getInstance("PKCS12").apply { key.inputStream().use { load(it, PASSWORD.toCharArray()) } }
    val config = ApkSigner.SignerConfig.Builder(
        ALIAS, store.getKey(ALIAS, PASSWORD.toCharArray()) as PrivateKey, listOf(store.getCertificate(ALIAS) as X509Certificate)
    ).build()
    ApkSigner.Builder(listOf(config)).setInputApk(unsigned).setOutputApk(out).setMinSdkVersion(26)
        .setV1SigningEnabled(false).setV2SigningEnabled(true).setV3SigningEnabled(true).setV4SigningEnabled(false)
        .setLibraryPageAlignmentBytes(PAGE).build().sign()
    val verified = ApkVerifier.Builder(out).setMinCheckedPlatformVersion(26).build().verify()
    check(verified.isVerified) { "the signature does not verify: ${verified.errors}" }
}

/** A debug key of this machine; a release is signed with another. */
private fun makeKey(key: File) {
    val command = listOf(
        "keytool", "-genkeypair", "-keystore", key.path, "-storetype", "PKCS12", "-storepass", PASSWORD, "-alias", ALIAS,
        "-keyalg", "RSA", "-keysize", "2048", "-validity", "10000", "-dname", "CN=Acne Edge debug"
    )
    val status = ProcessBuilder(command).inheritIO().start().waitFor()
    check(status == 0) { "keytool failed" }
}
