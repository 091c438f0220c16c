"""An empty data directory, its shelves and its ledger."""

import pytest

from apidanalytics.layout import DataDirectory
from apidanalytics.upload.ledger import Ledger
from apidanalytics.upload.shelves import Shelves


@pytest.fixture
def data(tmp_path):
    data = DataDirectory(tmp_path)
    data.create()
    return data


@pytest.fixture
def shelves(data):
    return Shelves(data)


@pytest.fixture
def ledger(data):
    with Ledger.open(data.ledger, data.damaged, 0.0) as ledger:
        yield ledger
