"""What stores on a remote service share. Read this to write a new one (S3, sftp, rclone, …).

A service differs from a folder of this machine in three ways: there is no atomic exchange and often no
conditional write, a reply may get lost after the request took effect, and a client may die between any two
requests. So every change has the same steps, and this package has the parts that do not depend on a service:

1. **Look**: `RemoteRoot.expect` reads the item right before the change and raises `StaleError` if it is not
   the version that was planned on (`root`).
2. **Keep**: what the change takes from a name is moved to `.syncer/trash/<run>/` first, and compared there
   with what was seen. If the move took something else, it goes back (`trash`).
3. **Act**: `changes` has delete, mkdir, rmdir and rename on top of 1 and 2. Uploads are staged under a
   private name, verified, and renamed (`upload.HashedUpload` counts and hashes the content on its way).
4. **Verify**: after a lost reply nothing is repeated blindly: `effects` looks whether the change took effect.

Results are values for each item, in order (`outcomes.run_each`); only an `AuthError` ends a batch. Downloads
resume after a broken connection and hand out their last piece only after the content was verified
(`download`).

A new store is a package `stores/<name>/` with

- a client: `stores.http.client.HttpClient` for HTTP (retries, throttling, bounded responses, error messages);
- a subclass of `RemoteRoot` (`stat`, `entry_of`) and, where the service has a rename, of `RemoteTrash`
  (`_move`, `_make_directories`, `_service_now_ns`, `is_same`) and `RemoteChanges`;
- sources with `RemoteSource`;
- `store.py`, which implements `engine.interfaces.Store` with these parts.

A store without a rename (Swift, S3) copies to the trash and deletes instead: it uses `outcomes`, `upload`,
`download` and `effects`, and has changes of its own (see `stores.swift.delete`). A store imports nothing from
another store's package; `tests/contract` is the suite that every one has to pass.
"""
