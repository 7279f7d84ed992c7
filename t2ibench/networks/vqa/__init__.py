"""Models that answer questions about images: what each must do (`contract`), how a question is put (`questions`), a
small network for a data set with attributes (`judge`), and any image-text-to-text model of transformers (`language`).
"""
