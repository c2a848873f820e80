import { randomInt } from "node:crypto";
import { DhowError } from "../../lib/mod.ts";

const NAME = /^\/?[a-zA-Z0-9][a-zA-Z0-9_.-]+$/;

/** Checks a container's name; returns it without a leading slash. @throws invalid in docker's words */
export function parseName(name: string): string {
  if (!NAME.test(name)) {
    throw new DhowError("invalid", `Invalid container name (${name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed`);
  }
  return name.replace(/^\//, "");
}

const MOODS = (
  "able airy amber ample apt ardent astral azure balmy bold brave breezy bright brisk calm candid charmed cheery civil clear clever coastal " +
  "cobalt coral cosmic crisp curious dapper daring deft devout eager earnest easy elated fabled fair fearless festive fleet fluent fond frank " +
  "free gallant gentle gilded glad golden graceful grand hale hardy hasty hearty honest humble ideal jaunty jolly keen kind lively loyal lucid " +
  "lunar mellow merry mighty modest native neat nimble noble patient placid playful plucky polite proud prudent quick quiet rapid ready regal " +
  "robust rosy sage salty serene sharp silent silver sincere sleek smart snug solar spry stable steady stellar stoic sunny sure swift tender " +
  "thrifty tidal tidy tranquil trim true upbeat valiant velvet vivid warm wise witty young zesty"
).split(" ");

const SAILORS = (
  "anson baffin barents baret bass beagle bering blackwood bligh bonny bougainville bowditch brendan byron cabot cabral cano cartier cavendish " +
  "chancellor cook crozier dampier davis diaz drake dumont earle elcano erikson fitzroy flinders franklin frobisher gama gilbert gray hakluyt " +
  "hanno hartog hawkins heyerdahl hipparchus hudson humboldt ibnmajid janszoon knorr kotzebue laperouse loti magellan " +
  "malaspina maury mercator mombasa nansen nordenskjold orellana palmer parry piri polo pytheas quiros raleigh ross roggeveen sacagawea saris " +
  "schouten scoresby selkirk shackleton sindbad slocum tasman torres tristan tupaia urdaneta vancouver vespucci vizcaino wallis weddell wilkes " +
  "willoughby yermak zarco zheng"
)
  .split(" ")
  .filter((word) => /^[a-z]+$/.test(word));

/** A name for a container that was given none; `isTaken` decides when one has been found. */
export function generateName(isTaken: (name: string) => boolean): string {
  for (let attempt = 0; ; attempt++) {
    const mood = MOODS[randomInt(MOODS.length)] ?? "calm";
    const sailor = SAILORS[randomInt(SAILORS.length)] ?? "cook";
    const name = attempt < 6 ? `${mood}_${sailor}` : `${mood}_${sailor}${randomInt(10 ** Math.min(9, attempt - 4))}`;
    if (!isTaken(name)) return name;
  }
}
