"""The second serving engine: Starlette under uvicorn, without Java, behind the contract of the first.

``serving.engine: uvicorn`` chooses it. Its management socket speaks the part of TorchServe's API that the reconciler
uses, so that first start, swap, rollback and a restarted server are the same loop for both engines.
"""
