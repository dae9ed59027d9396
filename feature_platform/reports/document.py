"""What the reports share: the document around them, a filter of features, a switch of theme.

The page is whole without JavaScript; the controls are hidden until the script shows them.
"""

from collections.abc import Mapping
from html import escape

from feature_platform.reports.style import STYLE
from feature_platform.reports.trend import MARKS

_SCRIPT = """
(()=>{
const root=document.documentElement,at=id=>document.getElementById(id),KEY="report-theme";
const system=matchMedia("(prefers-color-scheme:dark)"),button=at("theme");
const dark=()=>root.dataset.theme?root.dataset.theme==="dark":system.matches;
const paint=()=>button.setAttribute("aria-pressed",dark());
try{const kept=localStorage.getItem(KEY);if(kept)root.dataset.theme=kept}catch{}
button.onclick=()=>{
const next=dark()?"light":"dark";
delete root.dataset.theme;
if(dark()!==(next==="dark"))root.dataset.theme=next;
try{root.dataset.theme?localStorage.setItem(KEY,next):localStorage.removeItem(KEY)}catch{}
paint()};
system.addEventListener("change",paint);
paint();
for(const each of document.querySelectorAll(".tools [hidden]"))each.hidden=false;
addEventListener("DOMContentLoaded",()=>{
const box=at("filter"),boxes=[...document.querySelectorAll(".tools [type=checkbox]")];
if(!box)return;
const rows=[...document.querySelectorAll("[aria-labelledby=features] tbody tr")].map(row=>{
const link=row.querySelector("a");
return{row,name:link.textContent.toLowerCase(),verdict:row.querySelector(".chip").classList[1],
section:at(link.getAttribute("href").slice(1)).closest(".feature")}});
const apply=()=>{
const words=box.value.toLowerCase().split(/\\s+/).filter(Boolean);
const only=boxes.filter(each=>each.checked).map(each=>each.value);
let left=0,calm=0;
for(const each of rows){
const shown=(!only.length||only.includes(each.verdict))&&words.every(w=>each.name.includes(w));
each.row.hidden=each.section.hidden=!shown;
left+=shown;calm+=shown&&each.verdict==="ok"}
if(at("unchanged"))at("unchanged").hidden=!calm;
at("shown").textContent=words.length||only.length?`${left} of ${rows.length} shown`:""};
for(const each of [box,...boxes])each.addEventListener("input",apply);
// A browser that goes back fills in what was typed.
addEventListener("pageshow",apply)})})()
"""


def document(title: str, body: str) -> str:
    """The page: self-contained, its script inline."""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>"
        f"<body><main>{body}</main></body></html>\n"
    )


def controls(counts: Mapping[str, int], words: Mapping[str, str]) -> str:
    """The verdicts, by which features can be chosen, and by name; and the switch of theme.

    Args:
        counts: How many features are of each verdict, in the order of the page.
        words: What each verdict is called.
    """
    chips = "".join(
        f'<li><label class="chip {name}"><input type="checkbox" value="{name}" hidden>'
        f'<span aria-hidden="true">{MARKS[name]}</span> <b>{count}</b> {words[name]}</label></li>'
        for name, count in counts.items()
        if count
    )
    box = (
        '<label class="box" hidden>Filter <input type="search" id="filter" autocomplete="off" '
        'spellcheck="false" placeholder="part of a name"></label>'
        '<output id="shown" for="filter"></output>'
    )
    return (
        f'<div class="tools" role="search" aria-label="Features"><ul class="chips" '
        f'aria-label="Verdicts">{chips or "<li>no features</li>"}</ul>{box if chips else ""}'
        '<button type="button" id="theme" aria-pressed="false" hidden>Dark</button></div>'
        f"<script>{_SCRIPT}</script>"
    )
