/** The form for a habit, new or known. */
import type { HabitDraft } from '../api/types';
import { COLORS, FIRST_COLOR } from '../lib/colors';
import { Dialog } from './Dialog';
import { Area, Field } from './Field';
import { textOf, useSubmit } from './useSubmit';

interface HabitDialogProps {
  title: string;
  save: string;
  draft?: Partial<HabitDraft>;
  close: () => void;
  onSave: (draft: HabitDraft) => Promise<void>;
}

export function HabitDialog({ title, save, draft = {}, close, onSave }: HabitDialogProps) {
  const { busy, problem, fields, onSubmit } = useSubmit(async (form) => {
    await onSave({
      name: textOf(form, 'name'),
      description: textOf(form, 'description'),
      color: textOf(form, 'color') || FIRST_COLOR,
    });
    close();
  });
  const color = draft.color ?? FIRST_COLOR;
  const offered = COLORS.some(({ value }) => value === color) ? COLORS : [...COLORS, { value: color, name: 'As it is' }];
  return (
    <Dialog title={title} close={close}>
      <form onSubmit={onSubmit}>
        <Field label="Name" name="name" required maxLength={80} defaultValue={draft.name} error={fields['name']} autoComplete="off" placeholder="Read ten pages" />
        <Area label="Why, or how" name="description" rows={2} maxLength={500} defaultValue={draft.description} error={fields['description']} hint="Only you see it. It may stay empty." />
        <fieldset className="colors">
          <legend>Color</legend>
          {offered.map(({ value, name }) => (
            <label key={value} style={{ '--habit': value }}>
              <input type="radio" name="color" value={value} defaultChecked={value === color} />
              <span className="hidden">{name}</span>
            </label>
          ))}
          {fields['color'] && <p className="wrong">{fields['color']}</p>}
        </fieldset>
        {problem && <p className="problem" role="alert">{problem}</p>}
        <div className="dialog-end">
          <button type="button" className="quiet" onClick={close}>Cancel</button>
          <button type="submit" className="main" disabled={busy}>{busy ? 'Saving…' : save}</button>
        </div>
      </form>
    </Dialog>
  );
}
