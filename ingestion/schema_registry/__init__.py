"""The schema registry: schemas by id, subjects with versions, compatibility, in the REST shape that existing serializers speak."""
