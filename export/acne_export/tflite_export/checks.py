"""Checks of a TFLite file that need nothing but the file."""

from __future__ import annotations

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from ai_edge_litert.tools import flatbuffer_utils

from acne_export.validation import ValidationError

_VARIABLES = {"VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE", "CALL_ONCE"}


def check_operations(file: bytes) -> None:
    """Checks that the file has no operations that TFLite on a device lacks.

    Raises:
        ValidationError: It has a Flex operation or a variable.
    """
    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(file))
    codes = [code.customCode.decode() if code.customCode else _builtin(code) for code in model.operatorCodes]
    flex = sorted({name for name in codes if name.startswith("Flex")})
    if flex:
        raise ValidationError(f"the file needs TensorFlow for {', '.join(flex)}, which TFLite on a phone does not have")
    variables = sorted(_VARIABLES & set(codes))
    if variables:
        raise ValidationError(f"the file has variables ({', '.join(variables)}) in place of constant weights")


def check_integer_only(file: bytes) -> None:
    """Checks that a full int8 file has no float32 operation.

    Raises:
        ValidationError: A tensor between input and outputs is float32.
    """
    interpreter = Interpreter(model_content=file)
    ends = {detail["index"] for detail in [*interpreter.get_input_details(), *interpreter.get_output_details()]}
    for detail in interpreter.get_tensor_details():
        if detail["dtype"] is np.float32 and detail["index"] not in ends:
            raise ValidationError(
                f"tensor {detail['name']!r} is still float32: the converter left an operation unquantized"
            )


def _builtin(code: flatbuffer_utils.schema_fb.OperatorCodeT) -> str:
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    operators = vars(flatbuffer_utils.schema_fb.BuiltinOperator)
    return next((name for name, value in operators.items() if value == number), str(number))
