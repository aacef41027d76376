package acne.edge

/** What went wrong, in one sentence for people, with the way out. */
open class AcneEdgeException(message: String, cause: Throwable? = null) : Exception(message, cause)

/** A model file is corrupt or foreign, or its outputs do not match its manifest. */
class ModelException(message: String, cause: Throwable? = null) : AcneEdgeException(message, cause)
