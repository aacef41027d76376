"""What quantization needs: fake-quantization ranges, bias correction and calibration images."""
