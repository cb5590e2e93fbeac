"""Trained networks without their framework: ONNX files run by ONNX Runtime, arrays in and out."""
