import { link, mkdir, mkdtemp, open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

/**
 * All of the files or none, for their owner only. @returns whether they were written: not where the folder has come to hold anything,
 * for instance because another process was quicker
 */
export async function createPrivateFolder(folder: string, files: Readonly<Record<string, string>>): Promise<boolean> {
  return await withTemporaryFolder(folder, async (temporary) => {
    for (const [name, content] of Object.entries(files)) await writeDurably(join(temporary, name), content);
    await sync(temporary);
    try {
      await rename(temporary, folder); // replaces a folder only if it is empty
    } catch (error) {
      if (isSystemError(error, 'ENOTEMPTY', 'EEXIST')) return false;
      throw error;
    }
    await sync(dirname(folder));
    return true;
  });
}

/** The whole file or none, for its owner only. @returns whether it was written: not where it exists */
export async function createPrivateFile(path: string, content: Uint8Array): Promise<boolean> {
  return await withTemporaryFolder(path, async (temporary) => {
    const file = join(temporary, basename(path));
    await writeDurably(file, content);
    try {
      await link(file, path);
    } catch (error) {
      if (isSystemError(error, 'EEXIST')) return false;
      throw error;
    }
    await sync(dirname(path));
    return true;
  });
}

export function isSystemError(error: unknown, ...codes: readonly string[]): error is NodeJS.ErrnoException {
  return error instanceof Error && 'code' in error && codes.includes(String(error.code));
}

/** Beside `path`, so that it is on the same file system. */
async function withTemporaryFolder<Result>(path: string, use: (folder: string) => Promise<Result>): Promise<Result> {
  await mkdir(dirname(path), { recursive: true });
  const temporary = await mkdtemp(`${path}.new-`);
  try {
    return await use(temporary);
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}

async function writeDurably(path: string, content: string | Uint8Array): Promise<void> {
  const file = await open(path, 'wx', 0o600);
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function sync(folder: string): Promise<void> {
  const handle = await open(folder);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
