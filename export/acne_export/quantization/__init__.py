"""What quantization needs: fake-quantization ranges, rounded weights, bias correction and calibration images."""
