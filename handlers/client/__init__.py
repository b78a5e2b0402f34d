"""The service from Python: ask, drop images and follow them, edit what is known, look at versions, roll back.

    from handlers.client import Client

    with Client(data="lucir-data") as client:            # the folder of a running stack
        outcome = client.wait(client.drop("animals"))     # animals/cat/1.jpg, animals/dog/1.jpg ...
        (answer,) = client.predict("cat.jpg", top_k=3)
        print(outcome.version, answer.best.name, answer.best.probability)
        for progress in client.follow(client.drop("birds")):
            print(progress.text, f"{progress.ratio:.0%}")
        client.wait_edit(client.rename("kat", "cat"))
        client.rollback(outcome.version)

A stack on another machine is named by its addresses: ``Client(url="http://host:8080", updater_url="http://host:8090",
store="s3://lucir")``; ``predict`` needs only the first, ``status`` and ``rollback`` only the second, all
else the store. Everything that goes wrong is a ``ClientError``, a ``StoreError`` (of ``model_store``) or a
``SettingsError`` whose message names the remedy.
"""

from handlers.client.errors import ClientError
from handlers.client.service_client import Client

__all__ = ["Client", "ClientError"]
