"""Recordings in formats that are not read: what they are, and how they are converted."""

from __future__ import annotations

from pathlib import Path

MAGIC = {
    b"ISHNE1.0": "an ISHNE Holter file; convert it to WFDB by PhysioNet's ishne2mit",
    b"ANN  1.0": "annotations of an ISHNE Holter file; the signals are in a file of their own",
    b"ALIVE": "a recording of AliveCor Kardia; convert it to WFDB by PhysioNet's alivecor2mit",
    b"SCPECG": "a recording of the standard SCP-ECG; convert it to CSV or EDF",
    b"MATLAB": "a MATLAB file; write the signal to CSV, or to WFDB by the WFDB Toolbox",
    b"\x89HDF": "an HDF5 file; write the signal to CSV or WFDB",
    b"\x93NUMPY": "a NumPy file; write the array to CSV, or pass it to predict in Python",
    b"PK\x03\x04": "a ZIP archive or a spreadsheet; unpack it, or export it as CSV",
    b"\x1f\x8b": "a gzip archive; its name must end as .csv.gz does",
    b"%PDF": "a PDF document, which holds a picture of a recording; export the signal as CSV",
    b"\x89PNG": "a picture; export the signal as CSV",
    b"\xff\xd8\xff": "a picture; export the signal as CSV",
    b"PAR1": "a Parquet file; write it as CSV",
    b"<?xml": "an XML document, such as HL7 aECG or one of a device's maker; convert it to CSV or WFDB",
    b"\xd0\xcf\x11\xe0": "a document of an old Microsoft Office; export it as CSV",
}
"""What a file is, by its first bytes."""


def format_of(path: Path) -> str:
    """Return what a file is by its first bytes and how it is converted; empty for text and unknown content."""
    with path.open("rb") as file:
        head = file.read(4096)
    if head[:1] == b"0" and head[1:8].strip() == b"" and len(head) >= 256:
        return "an EDF file by its content; its name must end in .edf"
    if head[:8] == b"\xffBIOSEMI":
        return "a BDF file by its content; its name must end in .bdf"
    if head[128:132] == b"DICM":
        return "a DICOM file; convert its waveform to CSV or WFDB"
    if b"SCPECG" in head[:64]:
        return MAGIC[b"SCPECG"]
    found = next((text for magic, text in MAGIC.items() if head.lstrip(b"\xef\xbb\xbf").startswith(magic)), "")
    if found:
        return found
    control = sum(byte < 9 or 13 < byte < 32 for byte in head)
    if not head:
        return "the file is empty"
    if control > 0.02 * len(head):
        return f"a binary file of an unknown format (it begins with {head[:4].hex(' ')})"
    return "text whose name does not end in .csv, .tsv or .txt"
