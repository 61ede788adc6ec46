import { format } from 'prettier';

import { commands } from './commands/all.ts';
import { reference } from './reference.ts';

process.stdout.write(await format(reference(commands), { parser: 'markdown', printWidth: 120 }));
