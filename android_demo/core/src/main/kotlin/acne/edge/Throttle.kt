package acne.edge

/** Slows live detection down when the phone gets hot; the numbers are those of `PowerManager.getCurrentThermalStatus`. */
object Throttle {
    private const val MODERATE = 2
    private const val SEVERE = 3

    /** Returns the milliseconds to wait between two frames, or null to pause until the phone has cooled down. */
    fun pauseMillis(thermalStatus: Int): Long? = when {
        thermalStatus < MODERATE -> 0
        thermalStatus == MODERATE -> 300
        thermalStatus == SEVERE -> 1500
        else -> null
    }
}
