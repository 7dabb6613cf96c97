-- Bronze at the pinned version. Variables set before: bronze_uri, bronze_version.
create or replace temp view bronze as
select * from delta_scan(getvariable('bronze_uri'), version => getvariable('bronze_version'));
